"""The bodies of the API, as OpenAPI shows them, and how stored customers become such bodies."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.segmenter.customers.store import Listed
from services.segmenter.facts.domain.records import AnswerRecord, OrderRecord
from services.segmenter.tiers.domain.ruling import LoyaltyRules, Records, counts, group_of_answer, judge
from services.segmenter.tiers.domain.standing import Standing, Transition, sentence
from services.segmenter.tiers.store import Customer
from shared.feedback import start_of_day
from shared.http import Moment, Text


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
    until: datetime | None = Field(
        description="When this ends, if nothing comes between: an override at its own time, all else at the "
        "start of a day of the store; null: it lasts"
    )
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
    until: Moment
    reason: Annotated[Text, Field(min_length=1, max_length=500)]


_ANSWERS_SHOWN = 10


def customer_out(
    row: Customer, records: Records, same_email: list[Listed], rules: LoyaltyRules, now: datetime
) -> CustomerOut:
    standing, ruling = judge(records, rules, now)
    return CustomerOut(
        customer_id=row.contact.customer_id,
        ref=row.key.ref,
        email=row.contact.email,
        name=row.contact.name,
        tier=standing.tier,
        points=standing.points,
        since=standing.since,
        expires=standing.expires_at,
        grace_until=standing.grace_until,
        held_until=standing.held_until,
        override_until=standing.override_until,
        points_to_keep=standing.points_to_keep,
        next_tier=_next_tier(standing),
        tags=list(ruling.tags),
        reason=ReasonOut(rule=standing.reason.value, text=standing.sentence),
        rule_version=standing.rule_version,
        history=[_step(step, rules) for step in ruling.history],
        last_answers=_last_answers(records),
        orders=_orders(records, rules),
        same_email=[
            Relative(ref=other.ref, customer_id=other.customer_id, tier=other.tier)
            for other in same_email
            if other.ref != row.key.ref
        ],
        as_of=now,
    )


def _next_tier(standing: Standing) -> NextTier | None:
    if standing.next_tier is None or standing.points_to_next is None:
        return None
    return NextTier(name=standing.next_tier, points_needed=standing.points_to_next)


def _step(step: Transition, rules: LoyaltyRules) -> Step:
    return Step(
        at=step.at,
        from_tier=step.from_tier,
        to_tier=step.to_tier,
        points=step.points,
        rule=step.reason.value,
        text=sentence(step, rules.programme),
        until=_end(step, rules),
        rule_version=step.rule_version,
    )


def _end(step: Transition, rules: LoyaltyRules) -> datetime | None:
    if step.ends_at is not None:
        return step.ends_at.astimezone(UTC)
    return start_of_day(step.until, rules.zone) if step.until else None


def _last_answers(records: Records) -> list[AnswerOut]:
    answers = []
    for (_, response_id), record in records.items():
        if isinstance(record, AnswerRecord) and record.said and record.score is not None:
            group = group_of_answer(record)
            answers.append(
                AnswerOut(
                    response_id=response_id,
                    metric=record.said.metric,
                    scale=record.said.scale,
                    score=record.score,
                    group=group.name.lower() if group is not None else None,
                    answered_at=record.said.at,
                    touchpoint=record.said.touchpoint,
                    verified=record.said.verified,
                    test=record.said.test,
                    retracted=record.retracted,
                    gives_points=counts(record),
                )
            )
    return sorted(answers, key=lambda answer: (answer.answered_at, answer.response_id), reverse=True)[
        :_ANSWERS_SHOWN
    ]


def _orders(records: Records, rules: LoyaltyRules) -> OrdersOut:
    """In the store's currency; no refund takes off more than its order."""
    currency = rules.programme.currency
    count, spent, back = 0, Decimal(0), Decimal(0)
    last: datetime | None = None
    for record in records.values():
        if isinstance(record, OrderRecord) and record.placed and record.placed.currency == currency:
            refunded = sum((r.amount for r in record.refunds.values() if r.currency == currency), Decimal(0))
            refunded = min(refunded, record.placed.value)
            count, spent, back = count + 1, spent + record.placed.value - refunded, back + refunded
            last = max(last, record.placed.at) if last else record.placed.at
    return OrdersOut(count=count, currency=currency, spent=spent, refunded=back, last_at=last)


def listed_out(row: Listed) -> CustomerListed:
    return CustomerListed(
        customer_id=row.customer_id,
        ref=row.ref,
        email=row.email,
        name=row.name,
        tier=row.tier,
        since=row.since,
        points=row.points,
        tags=row.tags,
        as_of=row.folded_at,
    )


def tiers_out(members: dict[str, int], rules: LoyaltyRules) -> TiersOut:
    total = sum(members.values())
    current = {tier.name: tier for tier in rules.programme.tiers}
    names = [*current, *sorted(members.keys() - current.keys())]
    return TiersOut(
        members=total,
        tiers=[
            TierOut(
                name=name,
                enter=current[name].enter if name in current else None,
                keep=current[name].keep if name in current else None,
                members=members.get(name, 0),
                share=members.get(name, 0) / total if total else 0.0,
            )
            for name in names
        ],
        rule_version=rules.programme.version,
        as_of=datetime.now(UTC),
    )
