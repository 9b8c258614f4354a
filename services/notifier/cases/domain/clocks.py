"""The two clocks that a case can have: around the clock, and the business hours of its store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from shared.feedback.windows import clocks_change

Minutes = tuple[int, int]
"""A span of a day: from and to, in minutes of the clock on the wall; 1440 is the end of the day."""

_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta(microseconds=1)

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

    A moment is within the hours when the clock on the wall says so. Time is counted in real seconds: a night
    shift over the change to summer time is an hour shorter. A store that opens at 02:15 opens at 03:00 in the
    night that leaves that hour out; in the night that repeats it, both quarters before 02:15 are closed.
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
        for begins, ends, offset in self._stretches(start, end):
            day = (begins + offset).date()
            midnight = datetime.combine(day, time(), UTC) - offset
            for first, last in self.week[day.weekday()] if day not in self.holidays else ():
                opens = max(midnight + timedelta(minutes=first), begins)
                closes = min(midnight + timedelta(minutes=last), ends)
                if opens < closes:
                    yield opens, closes

    def _stretches(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
        """The time between the two with its offset, cut at each midnight and at each change of the clocks."""
        while start < end:
            offset = self._offset(start)
            midnight = datetime.combine((start + offset).date() + _DAY, time(), UTC) - offset
            upto = min(midnight, end)
            if self._offset(upto - _TICK) != offset:
                upto = clocks_change(start, upto - _TICK, self.zone)
            yield start, upto, offset
            start = upto

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()
