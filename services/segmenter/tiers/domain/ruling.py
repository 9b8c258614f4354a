"""From the records of a customer to the ruling that is stored and published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Final

from services.segmenter.facts.domain.records import (
    AnswerRecord,
    CaseRecord,
    EngagementRecord,
    Kind,
    OrderRecord,
    OverrideRecord,
    Record,
)
from services.segmenter.tiers.domain.loyalty import fold
from services.segmenter.tiers.domain.programme import EngagementKind, Programme
from services.segmenter.tiers.domain.standing import Standing, Transition
from services.segmenter.tiers.domain.tags import tags
from services.segmenter.tiers.domain.timeline import Answer, Case, Engagement, Fact, Order, Override, Refund
from shared.feedback import FeedbackError, Group, Metric, group_of

FROM_THE_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When the base tier of everybody began."""

_HISTORY_KEPT: Final = 100
_DONE_BY_CUSTOMERS: Final = {kind.value: kind for kind in EngagementKind if kind is not EngagementKind.ANSWER}

Records = Mapping[tuple[Kind, str], Record]
"""The records of one customer, by kind and id."""


@dataclass(frozen=True, slots=True)
class LoyaltyRules:
    """The loyalty programme of one store, and its time zone."""

    programme: Programme
    zone: tzinfo


RulesByStore = Mapping[str, LoyaltyRules]
"""The rules by store."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """A customer's standing as it is stored."""

    tier: str
    since: datetime | None
    points: int
    expires_at: datetime | None
    grace_until: datetime | None
    held_until: datetime | None
    override_until: datetime | None
    next_check_at: datetime | None
    tags: tuple[str, ...]
    reason: str
    sentence: str
    rule_version: str
    history: tuple[Transition, ...]

    def published(self) -> object:
        """What others get to know: only when this changes, the customer is published."""
        return self.tier, self.tags, spells(self.history)


def judge(records: Records, rules: LoyaltyRules, now: datetime) -> tuple[Standing, Ruling]:
    """The standing at `now`, and as much of it as is stored. Raises ValueError for a time without zone."""
    facts, answers = facts_of(records, rules.programme)
    standing = fold(facts, rules.programme, rules.zone, now)
    tagging = tags(facts, answers, rules.programme, rules.zone, now)
    waits = [wait for wait in (standing.next_check, tagging.next_check) if wait is not None]
    return standing, Ruling(
        tier=standing.tier,
        since=standing.since,
        points=standing.points,
        expires_at=standing.expires_at,
        grace_until=standing.grace_until,
        held_until=standing.held_until,
        override_until=standing.override_until,
        next_check_at=min(waits, default=None),
        tags=tagging.names,
        reason=standing.reason.value,
        sentence=standing.sentence,
        rule_version=standing.rule_version,
        history=standing.history[-_HISTORY_KEPT:],
    )


def spells(history: Sequence[Transition]) -> list[tuple[str, datetime]]:
    """(tier, since) of each spell, oldest first; the first began with the customer. Empty: never moved."""
    moves = [step for step in history if step.from_tier != step.to_tier]
    first = [(moves[0].from_tier, FROM_THE_START)] if moves else []
    return first + [(step.to_tier, step.at) for step in moves]


def facts_of(records: Records, programme: Programme) -> tuple[list[Fact], list[Answer]]:
    """What the records mean for tier and tags.

    An answer gives points and a tag if the store's server vouches for the customer, it is no test, and it
    was not retracted. Only a tag looks at the score; one that its scale does not know gives none.
    """
    facts: list[Fact] = []
    answers: list[Answer] = []
    for (_, name), record in records.items():
        match record:
            case AnswerRecord(said=original) if original and counts(record):
                facts.append(Engagement(name, EngagementKind.ANSWER, original.at))
                if original.metric == Metric.NPS and (group := group_of_answer(record)) is not None:
                    answers.append(Answer(name, original.at, Metric.NPS, group))
            case OrderRecord(placed=placed) if placed:
                facts.extend(_order_facts(name, record, programme))
            case EngagementRecord(said=original) if original and original.kind in _DONE_BY_CUSTOMERS:
                facts.append(Engagement(name, _DONE_BY_CUSTOMERS[original.kind], original.at))
            case CaseRecord():
                facts.extend(
                    Case(f"{name}/{index}", opened, closed)
                    for index, (opened, closed) in enumerate(record.spells())
                )
            case OverrideRecord():
                facts.append(Override(record.tier, record.until, record.reason, record.at, record.by))
            case _:
                pass
    return facts, answers


def counts(record: AnswerRecord) -> bool:
    """Whether the answer is worth points."""
    original = record.said
    if original is None or record.retracted:
        return False
    return bool(original.ref) and original.verified and not original.test


def group_of_answer(record: AnswerRecord) -> Group | None:
    """The answer's group by the score that counts now; None for a score that the scale does not have."""
    if record.said is None:
        return None
    try:
        return group_of(record.said.metric, record.said.scale, record.score)
    except FeedbackError:
        return None


def _order_facts(name: str, record: OrderRecord, programme: Programme) -> Iterable[Fact]:
    placed = record.placed
    if placed is None:
        return
    yield Order(name, placed.at, in_minor(placed.value, programme), placed.currency)
    for refund_id, refund in record.refunds.items():
        if refund.currency == placed.currency:
            amount = in_minor(refund.amount, programme)
            yield Refund(f"{len(name)}:{name}{refund_id}", name, refund.at, amount)


def in_minor(value: Decimal, programme: Programme) -> Decimal:
    """Minor units of the programme's currency, not rounded.

    Rounded up, an order of 499.9999 would reach 500 points; so would the rest of one of 500.004 after a
    refund of 0.005 that is rounded down.
    """
    return value * programme.minor_per_point
