"""What goes in and out, as OpenAPI shows it."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.http import Text


class NextTier(BaseModel):
    name: str
    points_needed: int = Field(description="Points still missing today")


class ReasonOut(BaseModel):
    rule: str = Field(description="Name of the rule that decided the present tier")
    text: str = Field(description="The same for people, with the numbers that decided it")


class Step(BaseModel):
    """A step of the tier; `from_tier` equals `to_tier` for a renewal, a grace and a hold."""

    at: datetime
    from_tier: str
    to_tier: str
    points: int
    rule: str
    text: str
    until: date | None = Field(description="The store's day at whose start this ends; null: it lasts")
    rule_version: str


class AnswerOut(BaseModel):
    response_id: str
    metric: str
    scale: str
    score: int
    group: str | None = Field(description="promoter, passive or detractor; null: not on the scale")
    answered_at: datetime
    touchpoint: str | None
    verified: bool = Field(description="False: the customer was only claimed, by a browser")
    test: bool
    retracted: bool
    gives_points: bool


class OrdersOut(BaseModel):
    count: int
    currency: str
    spent: Decimal = Field(description="Of all orders in the store's currency, refunds taken off")
    refunded: Decimal
    last_at: datetime | None


class Relative(BaseModel):
    ref: str
    customer_id: str | None
    tier: str


class CustomerOut(BaseModel):
    """A customer as of this moment; the tier is folded from the stored facts when asked."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "c-1",
                "ref": "8d0f6c1a5b7e4f2390ab12cd34ef5678",
                "email": "asha@example.com",
                "name": "Asha",
                "tier": "Silver",
                "points": 640,
                "since": "2026-03-01T10:00:00Z",
                "expires": "2027-03-01T00:00:00Z",
                "grace_until": None,
                "held_until": None,
                "override_until": None,
                "points_to_keep": 0,
                "next_tier": {"name": "Gold", "points_needed": 860},
                "tags": ["promoter", "repeat_buyer"],
                "reason": {
                    "rule": "upgrade",
                    "text": "550 points reach the 500 of Silver.",
                },
                "rule_version": "0f3a9d1c22b7",
                "history": [],
                "last_answers": [],
                "orders": {
                    "count": 2,
                    "currency": "EUR",
                    "spent": "600.00",
                    "refunded": "0",
                    "last_at": "2026-03-01T10:00:00Z",
                },
                "same_email": [],
                "as_of": "2026-04-02T08:00:00Z",
            }
        }
    )

    customer_id: str | None = Field(description="The store's own id; null for a guest known by e-mail only")
    ref: str = Field(description="How events and cases call this customer")
    email: str | None
    name: str | None
    tier: str
    points: int
    since: datetime | None = Field(description="Null: the base tier, from the start")
    expires: datetime | None = Field(description="When the tier is renewed, or grace begins")
    grace_until: datetime | None
    held_until: datetime | None = Field(description="An unhappy customer's tier is held until then at most")
    override_until: datetime | None
    points_to_keep: int | None = Field(description="Still missing to renew the tier; null: the base tier")
    next_tier: NextTier | None
    tags: list[str]
    reason: ReasonOut
    rule_version: str
    history: list[Step] = Field(description="Oldest first")
    last_answers: list[AnswerOut] = Field(description="Newest first")
    orders: OrdersOut
    same_email: list[Relative] = Field(description="Other customers with this e-mail address, as guests")
    as_of: datetime


class CustomerListed(BaseModel):
    customer_id: str | None
    ref: str
    email: str | None
    name: str | None
    tier: str
    since: datetime | None
    points: int
    tags: list[str]
    as_of: datetime = Field(description="When tier, points and tags were last worked out")


class CustomerList(BaseModel):
    customers: list[CustomerListed]


class TierOut(BaseModel):
    name: str
    enter: int | None = Field(description="Null: the programme has no such tier any more")
    keep: int | None
    members: int
    share: float = Field(description="0 to 1")


class TiersOut(BaseModel):
    members: int
    tiers: list[TierOut] = Field(description="From the base tier upwards")
    rule_version: str
    as_of: datetime


class OverrideIn(BaseModel):
    """Set the tier by hand. An `until` that has passed takes an override back."""

    model_config = ConfigDict(extra="forbid")

    tier: Text
    until: AwareDatetime
    reason: Annotated[Text, Field(min_length=1, max_length=500)]
