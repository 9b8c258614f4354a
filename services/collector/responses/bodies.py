"""What may be sent: strict types, every limit, nothing unknown. `null` is the same as leaving a field out.

The hot route's bodies are typed dictionaries: pydantic checks them as it checks models and makes no
objects that the event would only be copied from.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, Required

from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from shared.config.stores import NAME_PATTERN

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_EXACT_INTEGER = 2**53

_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"

Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=_NO_CONTROLS)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Comment = Annotated[str, StringConstraints(max_length=10_000)]
Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$")]
Locale = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
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
Time = Annotated[str, StringConstraints(max_length=40), Field(json_schema_extra={"format": "date-time"})]
SegmentValue = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=_NO_CONTROLS)]
Score = Annotated[int, Field(ge=0, le=10, description="An integer of the scale: 9.0 is refused as 7.5 is")]
Metric = Literal["nps", "csat", "ces", "enps"]


def _answer_value(value: Any) -> Any:
    match value:
        case bool() | None:
            return value
        case int() if abs(value) <= _EXACT_INTEGER:
            return value
        case float() if abs(value) < float("inf"):
            return value
        case str() if len(value) <= 10_000:
            return value
        case list() if len(value) <= 100 and all(isinstance(v, str) and len(v) <= 10_000 for v in value):
            return value
    raise PydanticCustomError(
        "answer_value",
        "Input should be a string of at most 10000 characters, a finite number of at most 2^53 if it is "
        "an integer, true, false, or a list of at most 100 such strings",
    )


AnswerValue = Annotated[
    Any, PlainValidator(_answer_value, json_schema_input_type=str | float | bool | list[str] | None)
]


@with_config(_STRICT)
class FollowUpIn(TypedDict, total=False):
    question: Required[Annotated[str, StringConstraints(min_length=1, max_length=128)]]
    value: Required[AnswerValue]


FollowUps = Annotated[list[FollowUpIn], Field(max_length=50)]


@with_config(_STRICT)
class CustomerIn(TypedDict, total=False):
    """An id or an e-mail, or a `token` that says who it is."""

    id: Id | None
    email: Email | None
    name: Annotated[str, StringConstraints(max_length=200)] | None
    consent: bool | None
    token: Annotated[str, StringConstraints(max_length=2048)] | None


@with_config(_STRICT)
class AboutOrderIn(TypedDict, total=False):
    id: Id | None
    value: Money | None
    currency: Currency | None


@with_config(_STRICT)
class AnswerIn(TypedDict, total=False):
    """The body of `POST /v1/responses`."""

    response_id: Annotated[Id | None, Field(description="Unique in the store; a UUIDv7 if absent")]
    metric: Annotated[Metric | None, Field(description="Default nps")]
    scale: Annotated[
        str | None, StringConstraints(max_length=32), Field(description="The metric's default if absent")
    ]
    score: Required[Score]
    comment: Comment | None
    complete: Annotated[bool | None, Field(description="false: a comment is still to come")]
    answers: FollowUps | None
    touchpoint: Name | None
    channel: Literal["web", "email", "sms", "in_app", "link", "kiosk", "phone", "api"] | None
    answered_at: Annotated[Time | None, Field(description="With an offset; now if absent")]
    locale: Locale | None
    test: Annotated[bool | None, Field(description="Stored and shown, never counted")]
    identity: Annotated[
        Literal["identified", "confidential", "anonymous"] | None,
        Field(description="By default from customer"),
    ]
    customer: CustomerIn | None
    order: AboutOrderIn | None
    segments: Annotated[dict[Name, SegmentValue] | None, Field(max_length=50)]


@with_config(_STRICT)
class AmendmentIn(TypedDict, total=False):
    """The body of `PATCH /v1/responses/{id}`: what changed."""

    amend_token: Annotated[str | None, StringConstraints(max_length=2048)]
    revision: Annotated[int | None, Field(ge=1, le=2**31 - 1, description="The highest wins, field by field")]
    score: Score | None
    comment: Comment | None
    answers: FollowUps | None
    complete: bool | None
    metric: Annotated[Metric | None, Field(description="With a secret key: what to check the score against")]
    scale: Annotated[str | None, StringConstraints(max_length=32)]


@with_config(_STRICT)
class BuyerIn(TypedDict, total=False):
    """An id or an e-mail."""

    id: Id | None
    email: Email | None
    name: Annotated[str, StringConstraints(max_length=200)] | None
    consent: bool | None


@with_config(_STRICT)
class OrderPlacedIn(TypedDict):
    type: Literal["placed"]
    id: Id
    placed_at: Time
    value: Money
    currency: Currency
    customer: BuyerIn


@with_config(_STRICT)
class OrderDeliveredIn(TypedDict):
    type: Literal["delivered"]
    id: Id
    delivered_at: Time


@with_config(_STRICT)
class OrderRefundedIn(TypedDict):
    type: Literal["refunded"]
    id: Id
    refund_id: Id
    refunded_at: Time
    amount: Money
    currency: Currency


OrderIn = Annotated[OrderPlacedIn | OrderDeliveredIn | OrderRefundedIn, Field(discriminator="type")]


@with_config(_STRICT)
class EngagementIn(TypedDict, total=False):
    id: Annotated[Id | None, Field(description="A UUIDv7 if absent")]
    kind: Required[Literal["event", "app_install", "review", "referral"]]
    engaged_at: Required[Time]
    customer: Required[BuyerIn]


@with_config(_STRICT)
class VouchIn(TypedDict, total=False):
    """Whom to vouch for: an id, an e-mail or both."""

    id: Id | None
    email: Email | None
    valid_seconds: Annotated[int | None, Field(ge=60, le=30 * 86_400, description="Default one day")]


@with_config(_STRICT)
class ErasedIn(TypedDict, total=False):
    """An id, an e-mail or both: what was sent under either is erased."""

    id: Id | None
    email: Email | None


@with_config(_STRICT)
class ErasureIn(TypedDict, total=False):
    """The body of `POST /v1/erasures`: whom to forget."""

    customer: Required[ErasedIn]


ANSWER: TypeAdapter[AnswerIn] = TypeAdapter(AnswerIn)
AMENDMENT: TypeAdapter[AmendmentIn] = TypeAdapter(AmendmentIn)
ORDER: TypeAdapter[Any] = TypeAdapter(OrderIn)
ENGAGEMENT: TypeAdapter[EngagementIn] = TypeAdapter(EngagementIn)
VOUCH: TypeAdapter[VouchIn] = TypeAdapter(VouchIn)
ERASURE: TypeAdapter[ErasureIn] = TypeAdapter(ErasureIn)

ORDER_TYPES = frozenset({"placed", "delivered", "refunded"})
