"""The bodies of answers, amendments and customer tokens, with the examples of the documentation."""

from typing import Annotated, Any, Literal, Required

from pydantic import Field, PlainValidator, StringConstraints, TypeAdapter, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from services.collector.bodies import NO_CONTROLS, STRICT, Currency, Email, Id, Money, Name, Time

_EXACT_INTEGER = 2**53
"""Larger integers lose digits in the JSON of browsers."""

Comment = Annotated[str, StringConstraints(max_length=10_000)]
Locale = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
SegmentValue = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=NO_CONTROLS, strip_whitespace=True)
]
Score = Annotated[int, Field(ge=0, le=10, description="An integer of the scale: 9.0 is refused as 7.5 is")]
Metric = Literal["nps", "csat", "ces", "enps"]
Channel = Literal["web", "email", "sms", "in_app", "link", "kiosk", "phone", "api"]
"""Where a customer answered."""


def _answer_value(value: Any) -> Any:
    """The value of a further question, as it was sent. Raises PydanticCustomError."""
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


@with_config(STRICT)
class FollowUpIn(TypedDict, total=False):
    question: Required[Annotated[str, StringConstraints(min_length=1, max_length=128)]]
    value: Required[AnswerValue]


FollowUps = Annotated[list[FollowUpIn], Field(max_length=50)]


@with_config(STRICT)
class CustomerIn(TypedDict, total=False):
    """An id or an e-mail, or a `token` that says who it is."""

    id: Id | None
    email: Email | None
    name: Annotated[str, StringConstraints(max_length=200)] | None
    consent: bool | None
    token: Annotated[str, StringConstraints(max_length=2048)] | None


@with_config(STRICT)
class AboutOrderIn(TypedDict, total=False):
    id: Id | None
    value: Money | None
    currency: Currency | None


@with_config(STRICT)
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
    channel: Channel | None
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


@with_config(STRICT)
class AmendmentIn(TypedDict, total=False):
    """The body of `PATCH /v1/responses/{id}`: what changed."""

    amend_token: Annotated[str | None, StringConstraints(max_length=2048)]
    revision: Annotated[int | None, Field(ge=1, le=2**31 - 1, description="The highest wins, field by field")]
    score: Score | None
    comment: Comment | None
    answers: FollowUps | None
    complete: bool | None
    metric: Annotated[
        Metric | None,
        Field(description="With a secret key: of the answer, so that a score that is none of it is refused"),
    ]
    scale: Annotated[str | None, StringConstraints(max_length=32), Field(description="As `metric`")]


@with_config(STRICT)
class VouchIn(TypedDict, total=False):
    """Whom to vouch for: an id, an e-mail or both."""

    id: Id | None
    email: Email | None
    valid_seconds: Annotated[int | None, Field(ge=60, le=30 * 86_400, description="Default one day")]


ANSWER: TypeAdapter[AnswerIn] = TypeAdapter(AnswerIn)
AMENDMENT: TypeAdapter[AmendmentIn] = TypeAdapter(AmendmentIn)
VOUCH: TypeAdapter[VouchIn] = TypeAdapter(VouchIn)

ANSWER_EXAMPLE: dict[str, Any] = {
    "score": 9,
    "comment": "Quick delivery, and the shoes fit.",
    "touchpoint": "post_delivery",
    "channel": "web",
    "locale": "nl-NL",
    "customer": {"id": "c-1", "email": "ada@example.com", "consent": True},
    "order": {"id": "o-1", "value": 59.90, "currency": "EUR"},
    "segments": {"country": "NL", "product_line": "shoes"},
    "answers": [{"question": "reason", "value": "speed"}],
}
AMENDMENT_EXAMPLE: dict[str, Any] = {
    "comment": "The left shoe is a size smaller.",
    "complete": True,
    "revision": 2,
}
VOUCH_EXAMPLE: dict[str, Any] = {"id": "c-1", "email": "ada@example.com", "valid_seconds": 3600}
