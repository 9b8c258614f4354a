"""The arithmetic of the report: its periods, its shares with their intervals, and recurring root causes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final

from shared.feedback.comparison import Verdict, difference, verdict
from shared.feedback.metrics import Metric
from shared.feedback.nps import Counts, Interval, wilson
from shared.feedback.windows import local_day, start_of_day

FIRST_CONTACT_HOURS: Final = (1, 2, 4, 8, 16, 24)
"""Upper ends of the histogram's bars; the last bar has none."""

AGE_HOURS: Final = {"under_4h": 4, "4h_to_1d": 24, "1d_to_3d": 72, "3d_to_7d": 168, "over_7d": None}
"""How long a case has been open, around the clock: the bucket's name and its upper end."""

LEAST_CASES_TO_JUDGE: Final = 5
"""A share and a median of fewer cases say nothing about the person."""

RECURRING_SHARE: Final = 0.15
RECURRING_MONTHS: Final = 3
MONTHS_SEEN: Final = 4
"""A root cause recurs when it took RECURRING_SHARE of the closed cases in RECURRING_MONTHS of the last
MONTHS_SEEN months."""

LONGEST_PERIOD: Final = timedelta(days=731)

_ELAPSED: Final = {"7d": timedelta(days=7), "30d": timedelta(days=30)}


class InvalidPeriod(ValueError):
    """This is no period that a report can be about; the message says what would be one."""


@dataclass(frozen=True, slots=True)
class Period:
    """start <= t < end, both UTC. `before`: the start of the period that it is compared with."""

    start: datetime
    end: datetime
    before: datetime
    name: str

    def __post_init__(self) -> None:
        if not self.before < self.start < self.end:
            raise InvalidPeriod("the period ends before it begins")
        if self.end - self.start > LONGEST_PERIOD:
            raise InvalidPeriod(f"a period is at most {LONGEST_PERIOD.days} days long")


def named_period(text: str, now: datetime, zone: tzinfo) -> Period:
    """`7d`, `30d` (elapsed, up to now), `month:2026-10`, `quarter:2026-Q3` (of the zone's calendar).

    A month or quarter that is not over ends with the calendar, not with now. Raises InvalidPeriod.
    """
    if text in _ELAPSED:
        length = _ELAPSED[text]
        return Period(now - length, now, now - 2 * length, text)
    if match := re.fullmatch(r"month:(\d{4})-(0[1-9]|1[0-2])", text):
        return _calendar(int(match[1]), int(match[2]), 1, zone, text)
    if match := re.fullmatch(r"quarter:(\d{4})-Q([1-4])", text):
        return _calendar(int(match[1]), 3 * int(match[2]) - 2, 3, zone, text)
    raise InvalidPeriod("use 7d, 30d, month:2026-10 or quarter:2026-Q3")


def given_period(start: datetime, end: datetime) -> Period:
    """From `start` to `end`, compared with the same length before it. Raises InvalidPeriod."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if start >= end:
        raise InvalidPeriod("`to` must be after `from`")
    return Period(start, end, start - (end - start), "")


def week_before(now: datetime, zone: tzinfo) -> Period:
    """The last whole ISO week, Monday to Monday of the zone's calendar; its name is as 2026-W47."""
    today = local_day(now, zone)
    monday = today - timedelta(days=today.weekday())
    first = monday - timedelta(days=7)
    year, week, _ = first.isocalendar()
    starts = [start_of_day(day, zone) for day in (first - timedelta(days=7), first, monday)]
    return Period(starts[1], starts[2], starts[0], f"{year}-W{week:02}")


def _calendar(year: int, month: int, length: int, zone: tzinfo, name: str) -> Period:
    if not 2000 <= year <= 2200:
        raise InvalidPeriod("a year is 2000 to 2200")
    starts = [start_of_day(_month(year, month + shift), zone) for shift in (-length, 0, length)]
    return Period(starts[1], starts[2], starts[0], name)


def _month(year: int, month: int) -> date:
    """The first of a month; month 0 is the December before, 13 the January after."""
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)


def months_upto(end: datetime, zone: tzinfo) -> list[tuple[datetime, datetime]]:
    """The calendar months of which the last holds the instant before `end`, the oldest first."""
    last = local_day(end - timedelta(microseconds=1), zone)
    edges = [start_of_day(_month(last.year, last.month + shift), zone) for shift in range(1 - MONTHS_SEEN, 2)]
    return list(pairwise(edges))


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, for instance the cases contacted in time of all whose clock has ended."""

    count: int
    of: int

    @property
    def percent(self) -> float | None:
        """0..100; None of nothing."""
        return 100 * self.count / self.of if self.of else None

    @property
    def ci95(self) -> Interval | None:
        """Wilson's interval in percent; None of nothing."""
        return wilson(self.count, self.of)


def compare_shares(before: Share, now: Share) -> Verdict:
    """Whether a share differs from the one before (Agresti & Caffo's test; fewer than 30 say nothing)."""
    return verdict(difference(_counts(before), _counts(now), metric=Metric.CSAT))


def _counts(share: Share) -> Counts:
    return Counts(promoters=share.count, detractors=share.of - share.count)


def months_seen(by_month: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """In how many months each root cause took RECURRING_SHARE of the closed cases.

    `by_month`: for each month, the closed cases by root cause.
    """
    seen: dict[str, int] = {}
    for causes in by_month:
        closed = sum(causes.values())
        for cause, count in causes.items():
            seen[cause] = seen.get(cause, 0) + (count >= RECURRING_SHARE * closed)
    return seen
