"""What counts for the tier and tags of one customer, and its order in time.

All times are aware; money is in minor units of the currency, with their fractions: a price may have more
decimals than its currency has coins, and only the sum of all is cut down to points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Self, TypeAlias

from services.segmenter.tiers.domain.programme import EngagementKind
from shared.feedback import Group, Metric

Minor: TypeAlias = int | Decimal
"""An amount in minor units."""


@dataclass(frozen=True, slots=True)
class Order:
    id: str
    at: datetime
    value_minor: Minor
    currency: str


@dataclass(frozen=True, slots=True)
class Refund:
    """Worth nothing until its order is known; then it lowers that order, never another one."""

    id: str
    order_id: str
    at: datetime
    amount_minor: Minor


@dataclass(frozen=True, slots=True)
class Answer:
    """For the tags. Only `Engagement.of_answer` turns it into points, and that cannot see the group."""

    id: str
    at: datetime
    metric: Metric
    group: Group


@dataclass(frozen=True, slots=True)
class Engagement:
    id: str
    kind: EngagementKind
    at: datetime

    @classmethod
    def of_answer(cls, answer: Answer) -> Self:
        """Answering is rewarded, and every answer alike: else members would learn to give a ten."""
        return cls(answer.id, EngagementKind.ANSWER, answer.at)


@dataclass(frozen=True, slots=True)
class Case:
    """`closed_at` None: still open. Only a detractor's case holds a tier."""

    id: str
    opened_at: datetime
    closed_at: datetime | None = None
    detractor: bool = True


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody of the store sets the tier for at <= t < until.

    A later one replaces an earlier one altogether; one with until <= at therefore takes it back.
    """

    tier: str
    until: datetime
    reason: str
    at: datetime
    by: str


Fact = Order | Refund | Engagement | Case | Override


@dataclass(frozen=True, slots=True)
class CaseOpened:
    case: Case


@dataclass(frozen=True, slots=True)
class CaseClosed:
    case: Case


Change = Order | Refund | Engagement | CaseOpened | CaseClosed | Override

_Key = tuple[datetime, int, str, str]
"""When; which kind comes first; what it is about; and what tells two versions of it apart."""


def changes(facts: Iterable[Fact]) -> list[tuple[datetime, Change]]:
    """The facts as changes in UTC event time, the same list for any order and repetition of the facts.

    At the same instant an order comes before its refund, and ids decide between two of a kind. Of two
    changes of one kind under one id the earlier counts. Raises ValueError for a naive time.
    """
    keyed = sorted((pair for fact in facts for pair in _keyed(fact)), key=lambda pair: pair[0])
    seen: set[tuple[int, str]] = set()
    ordered: list[tuple[datetime, Change]] = []
    for (at, rank, name, _), change in keyed:
        if (rank, name) not in seen:
            seen.add((rank, name))
            ordered.append((at, change))
    return ordered


def _keyed(fact: Fact) -> Iterator[tuple[_Key, Change]]:
    match fact:
        case Order():
            yield (_utc(fact.at), 0, fact.id, f"{fact.value_minor} {fact.currency}"), fact
        case Engagement():
            yield (_utc(fact.at), 1, f"{fact.kind} {fact.id}", ""), fact
        case Refund():
            yield (_utc(fact.at), 2, fact.id, f"{fact.amount_minor} {fact.order_id}"), fact
        case Case():
            opened = _utc(fact.opened_at)
            yield (opened, 3, fact.id, str(fact.detractor)), CaseOpened(fact)
            if fact.closed_at is not None:
                closed = max(opened, _utc(fact.closed_at))
                yield (closed, 4, fact.id, ""), CaseClosed(fact)
        case Override():
            at, until = _utc(fact.at), _utc(fact.until)
            yield (at, 5, f"{at} {until} {fact.tier} {fact.by} {fact.reason}", ""), fact


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC)
