"""From what is stored to what is shown."""

from datetime import UTC, datetime
from decimal import Decimal

from services.segmenter.api.shapes import (
    AnswerOut,
    CustomerListed,
    CustomerOut,
    NextTier,
    OrdersOut,
    ReasonOut,
    Relative,
    Step,
    TierOut,
    TiersOut,
)
from services.segmenter.domain import Standing, Transition, sentence
from services.segmenter.domain.order_record import OrderRecord
from services.segmenter.domain.records import AnswerRecord
from services.segmenter.domain.ruling import Records, Rules, counts, group_of_answer, judge
from services.segmenter.store.customers import Customer, Listed

_ANSWERS_SHOWN = 10


def customer_out(
    row: Customer, records: Records, same_email: list[Listed], rules: Rules, now: datetime
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


def _step(step: Transition, rules: Rules) -> Step:
    return Step(
        at=step.at,
        from_tier=step.from_tier,
        to_tier=step.to_tier,
        points=step.points,
        rule=step.reason.value,
        text=sentence(step, rules.programme),
        until=step.until,
        rule_version=step.rule_version,
    )


def _last_answers(records: Records) -> list[AnswerOut]:
    found = []
    for (_, response_id), record in records.items():
        if isinstance(record, AnswerRecord) and record.said and record.score is not None:
            group = group_of_answer(record)
            found.append(
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
    return sorted(found, key=lambda one: (one.answered_at, one.response_id), reverse=True)[:_ANSWERS_SHOWN]


def _orders(records: Records, rules: Rules) -> OrdersOut:
    """In the store's currency; no refund takes off more than its order."""
    currency = rules.programme.currency
    count, spent, back = 0, Decimal(0), Decimal(0)
    last: datetime | None = None
    for record in records.values():
        if isinstance(record, OrderRecord) and record.placed and record.placed.currency == currency:
            given = sum((r.amount for r in record.refunds.values() if r.currency == currency), Decimal(0))
            given = min(given, record.placed.value)
            count, spent, back = count + 1, spent + record.placed.value - given, back + given
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


def tiers_out(members: dict[str, int], rules: Rules) -> TiersOut:
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
