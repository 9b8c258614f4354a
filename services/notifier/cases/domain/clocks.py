"""The two clocks that a case can have: around the clock, and the business hours of its store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, Protocol
from zoneinfo import ZoneInfo

Minutes = tuple[int, int]
"""A span of a day: from and to, in minutes of the clock on the wall; 1440 is the end of the day."""

FURTHEST: Final = timedelta(days=3660)
"""No clock runs out later than this after it started, however little a store is open."""


class ClockKind(StrEnum):
    ELAPSED = "elapsed"
    BUSINESS = "business"


class Clock(Protocol):
    """Counts the time that a store owes its customers."""

    def due(self, start: datetime, after: timedelta) -> datetime:
        """When so much time has passed on this clock since `start`."""
        ...

    def worked(self, start: datetime, end: datetime) -> timedelta:
        """How much time passed on this clock between the two; nothing when `end` is not later."""
        ...


class Elapsed:
    """Around the clock."""

    def due(self, start: datetime, after: timedelta) -> datetime:
        return start + after

    def worked(self, start: datetime, end: datetime) -> timedelta:
        return max(end - start, timedelta())


ELAPSED: Final = Elapsed()


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """`week`: the spans of each day, Monday first, in the store's zone. On a holiday nobody works.

    Time is counted in real seconds: a night shift over the change to summer time is an hour shorter. A
    wall time that the change leaves out counts as the moment after it; one that it repeats, as its first.
    """

    zone: ZoneInfo
    week: tuple[tuple[Minutes, ...], ...]
    holidays: frozenset[date] = frozenset()

    def due(self, start: datetime, after: timedelta) -> datetime:
        """At most `FURTHEST` after the start. The end of a working day comes before the next morning."""
        left, start = after, start.astimezone(UTC)
        if left <= timedelta():
            return start
        for opens, closes in self._open(start, start + FURTHEST):
            if closes - opens >= left:
                return opens + left
            left -= closes - opens
        return start + FURTHEST

    def worked(self, start: datetime, end: datetime) -> timedelta:
        spans = self._open(start.astimezone(UTC), end.astimezone(UTC))
        return sum((closes - opens for opens, closes in spans), timedelta())

    def _open(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """When the store is open between the two, in order and without overlap."""
        day = start.astimezone(self.zone).date()
        last = end.astimezone(self.zone).date()
        counted_to = start
        while day <= last and counted_to < end:
            for begin, finish in self.week[day.weekday()] if day not in self.holidays else ():
                opens, closes = max(self._moment(day, begin), counted_to), min(self._moment(day, finish), end)
                if opens < closes:
                    yield opens, closes
                    counted_to = closes
            day += timedelta(days=1)

    def _moment(self, day: date, minutes: int) -> datetime:
        """A wall time as a moment; with fold 0, Python counts a time that is left out from before the gap."""
        wall = datetime.combine(day, time()) + timedelta(minutes=minutes)
        return wall.replace(tzinfo=self.zone).astimezone(UTC)
