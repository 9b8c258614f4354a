"""The parts that the bodies of several rooms share: strict types, every limit, nothing unknown.

`null` is the same as leaving a field out, and blanks around an id, an e-mail address or the value of a
segment are not part of it. Bodies are typed dictionaries: pydantic checks them as it checks models and makes
no objects that the event would only be copied from.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from shared.config.stores import NAME_PATTERN
from shared.feedback.identity import normal_email

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
"""A pattern for text without control characters."""

Id = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=NO_CONTROLS, strip_whitespace=True)
]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Email = Annotated[
    str,
    StringConstraints(max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$", strip_whitespace=True),
    AfterValidator(normal_email),
]
Money = Annotated[
    Decimal,
    Field(ge=0, lt=10**12, decimal_places=4),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1e12},
                {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,4})?$"},
            ],
            "description": "At most 4 decimal places",
        }
    ),
]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
Time = Annotated[str, StringConstraints(max_length=64), Field(json_schema_extra={"format": "date-time"})]
