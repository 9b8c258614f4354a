"""The bodies of `POST /v1/orders` and `POST /v1/engagements`, with the examples of the documentation."""

from typing import Annotated, Any, Literal, Required

from pydantic import Field, StringConstraints, TypeAdapter, with_config
from typing_extensions import TypedDict

from services.collector.bodies import STRICT, Currency, Email, Id, Money, Time


@with_config(STRICT)
class BuyerIn(TypedDict, total=False):
    """An id or an e-mail."""

    id: Id | None
    email: Email | None
    name: Annotated[str, StringConstraints(max_length=200)] | None
    consent: bool | None


@with_config(STRICT)
class OrderPlacedIn(TypedDict):
    type: Literal["placed"]
    id: Id
    placed_at: Time
    value: Money
    currency: Currency
    customer: BuyerIn


@with_config(STRICT)
class OrderDeliveredIn(TypedDict):
    type: Literal["delivered"]
    id: Id
    delivered_at: Time


@with_config(STRICT)
class OrderRefundedIn(TypedDict):
    type: Literal["refunded"]
    id: Id
    refund_id: Id
    refunded_at: Time
    amount: Money
    currency: Currency


OrderIn = Annotated[OrderPlacedIn | OrderDeliveredIn | OrderRefundedIn, Field(discriminator="type")]


@with_config(STRICT)
class EngagementIn(TypedDict, total=False):
    id: Annotated[Id | None, Field(description="A UUIDv7 if absent")]
    kind: Required[Literal["event", "app_install", "review", "referral"]]
    engaged_at: Required[Time]
    customer: Required[BuyerIn]


ORDER: TypeAdapter[Any] = TypeAdapter(OrderIn)
ENGAGEMENT: TypeAdapter[EngagementIn] = TypeAdapter(EngagementIn)

ORDER_TYPES = frozenset({"placed", "delivered", "refunded"})

ORDER_EXAMPLES: dict[str, dict[str, Any]] = {
    "placed": {
        "type": "placed",
        "id": "o-1",
        "placed_at": "2026-11-20T09:30:00+01:00",
        "value": 59.90,
        "currency": "EUR",
        "customer": {"id": "c-1", "email": "ada@example.com"},
    },
    "delivered": {"type": "delivered", "id": "o-1", "delivered_at": "2026-11-22T14:00:00+01:00"},
    "refunded": {
        "type": "refunded",
        "id": "o-1",
        "refund_id": "rf-1",
        "refunded_at": "2026-11-25T10:00:00+01:00",
        "amount": 19.95,
        "currency": "EUR",
    },
}
ENGAGEMENT_EXAMPLE: dict[str, Any] = {
    "kind": "review",
    "engaged_at": "2026-11-22T14:00:00+01:00",
    "customer": {"id": "c-1"},
}
