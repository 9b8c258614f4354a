"""Short names for what a customer is at the moment, to pick a tone or a list by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from services.segmenter.tiers.domain.programme import Programme
from services.segmenter.tiers.domain.timeline import Answer, Engagement, Fact, Minor, Order, Refund, changes
from shared.feedback import Group, Metric, local_day, start_of_day

INACTIVE_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class Profile:
    """What the rules look at. `last` and `previous` are NPS answers; idle days are whole local days."""

    last: Group | None
    previous: Group | None
    orders_in_window: int
    idle_days: int | None


@dataclass(frozen=True, slots=True)
class TagRule:
    name: str
    matches: Callable[[Profile], bool]


TAG_RULES: Final = (
    TagRule("promoter", lambda p: p.last is Group.PROMOTER),
    TagRule("passive", lambda p: p.last is Group.PASSIVE),
    TagRule("detractor", lambda p: p.last is Group.DETRACTOR),
    TagRule("fell", lambda p: p.last is not None and p.previous is not None and p.last < p.previous),
    TagRule("repeat_buyer", lambda p: p.orders_in_window >= 2),
    TagRule("inactive", lambda p: p.idle_days is not None and p.idle_days >= INACTIVE_DAYS),
)
"""Every rule that matches gives its tag, in this order."""


@dataclass(frozen=True, slots=True)
class Tagging:
    names: tuple[str, ...]
    next_check: datetime | None
    """The next instant at which time alone may change a tag; UTC, a local midnight or a fact still ahead."""


def tags(
    facts: Iterable[Fact], answers: Iterable[Answer], programme: Programme, zone: tzinfo, now: datetime
) -> Tagging:
    """The customer's tags at `now`; facts and answers later than now do not count yet.

    Only what the customer did counts as activity: orders, engagements and answers, not a refund, a case or
    an override. An order refunded in full is no purchase. Raises ValueError for a naive time of a fact.
    """
    steps = changes(facts)
    nps = sorted({(a.at.astimezone(UTC), a.id, a.group) for a in answers if a.metric is Metric.NPS})
    groups = [group for at, _, group in nps if at <= now]
    today = local_day(now, zone)
    bought = _purchase_days(
        (change for at, change in steps if at <= now and isinstance(change, Order | Refund)), programme, zone
    )
    oldest = today - timedelta(days=programme.window_days)
    active = [at for at, change in steps if at <= now and isinstance(change, Order | Engagement)]
    active += [at for at, _, _ in nps if at <= now]
    seen = local_day(max(active), zone) if active else None
    profile = Profile(
        last=groups[-1] if groups else None,
        previous=groups[-2] if len(groups) > 1 else None,
        orders_in_window=sum(day > oldest for day in bought),
        idle_days=None if seen is None else (today - seen).days,
    )
    wake_days = [] if seen is None else [seen + timedelta(days=INACTIVE_DAYS)]
    if len(bought) > 1:
        wake_days.append(bought[-2] + timedelta(days=programme.window_days))
    waits = [start_of_day(day, zone) for day in wake_days if day > today]
    waits += [at for at, _ in steps if at > now] + [at for at, _, _ in nps if at > now]
    return Tagging(
        names=tuple(rule.name for rule in TAG_RULES if rule.matches(profile)),
        next_check=min(waits, default=None),
    )


def _purchase_days(steps: Iterable[Order | Refund], programme: Programme, zone: tzinfo) -> list[date]:
    """The local days, in order, of the purchases in the store's currency of which something is left."""
    left: defaultdict[str, Minor] = defaultdict(int)
    days: dict[str, date] = {}
    for step in steps:
        match step:
            case Order() if step.currency == programme.currency:
                left[step.id] += step.value_minor
                days[step.id] = local_day(step.at, zone)
            case Refund():
                left[step.order_id] -= step.amount_minor
            case _:
                pass
    return sorted(day for order_id, day in days.items() if left[order_id] > 0)
