"""Sliding windows of elapsed time, cut into whole local days and two ragged ends.

A window is (as_of - W, as_of] on event time: an answer exactly W old has left, one at as_of is in. A store
counts its answers in buckets of its own local days; what the window does not cover by whole days is read
from the answers. Every interval here is (after, upto], also next to a midnight: Python and PostgreSQL both
tick in microseconds, so "before midnight" is "up to one microsecond before it", and nothing lies between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple, Self

WINDOWS: Final[dict[str, timedelta]] = {f"{days}d": timedelta(days=days) for days in (7, 30, 90, 365)}
"""The windows that can be asked for, by name."""

_TICK: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)


class UnknownWindow(ValueError):
    """The window is not one of WINDOWS; the message lists them."""


def parse_window(text: str) -> timedelta:
    """'30d' as its length. Raises UnknownWindow."""
    try:
        return WINDOWS[text]
    except KeyError:
        raise UnknownWindow(f"unknown window {text!r}: use one of {', '.join(WINDOWS)}") from None


class Days(NamedTuple):
    """Whole local days, both ends included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Window:
    """after < t <= upto, both UTC. Raises ValueError for naive times and if nothing fits in it."""

    after: datetime
    upto: datetime

    def __post_init__(self) -> None:
        if _utc(self.after) >= _utc(self.upto):
            raise ValueError(f"the window ({self.after}, {self.upto}] is empty")

    @classmethod
    def ending(cls, as_of: datetime, length: timedelta) -> Self:
        """The window of that many elapsed seconds up to as_of, whatever the clocks did meanwhile."""
        upto = _utc(as_of)
        return cls(upto - length, upto)

    def __contains__(self, instant: datetime) -> bool:
        return self.after < instant <= self.upto

    def previous(self) -> Window:
        """The window of the same length right before, sharing no answer with this one."""
        return Window(self.after - (self.upto - self.after), self.after)


@dataclass(frozen=True, slots=True)
class Split:
    """A window in parts that share no instant. Without a whole day in it, `head` is all of it."""

    head: Window | None
    days: Days | None
    tail: Window | None


def split(as_of: datetime, window: timedelta, zone: tzinfo) -> Split:
    """(as_of - window, as_of] as the old end, the whole local days of `zone`, and the new end.

    A bucket of day d holds the answers whose `local_day` is d. Raises ValueError for a naive as_of.
    """
    whole = Window.ending(as_of, window)
    first = local_day(whole.after, zone) + _DAY
    last = local_day(whole.upto + _TICK, zone) - _DAY
    if first > last:
        return Split(whole, None, None)
    head_upto = start_of_day(first, zone) - _TICK
    tail_after = start_of_day(last + _DAY, zone) - _TICK
    return Split(
        Window(whole.after, head_upto) if whole.after < head_upto else None,
        Days(first, last),
        Window(tail_after, whole.upto) if tail_after < whole.upto else None,
    )


def local_day(instant: datetime, zone: tzinfo) -> date:
    """The calendar day of an aware instant on the wall of that zone."""
    return instant.astimezone(zone).date()


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """The first instant of a local day, in UTC.

    Where clocks skip midnight (Cairo in April) that is the moment of the jump; where midnight comes twice
    (the Azores in October), the first. A day that never was (Apia, 2011-12-30) starts where the next does.
    """
    start = datetime.combine(day, time(), zone).astimezone(UTC)
    if (start - _TICK).astimezone(zone).date() < day:
        return start
    # A jump from before midnight to after it: fold=0 lands past the jump. Walk back to it by halves.
    before = start - _DAY
    while start - before > _TICK:
        middle = before + (start - before) // 2
        if middle.astimezone(zone).date() < day:
            before = middle
        else:
            start = middle
    return start


def clocks_change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The first instant, in UTC, at which the zone's offset is not that of `before`.

    Both are UTC, `after` has another offset, and the clocks change once between the two.
    """
    offset = before.astimezone(zone).utcoffset()
    while after - before > _TICK:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    return instant.astimezone(UTC)
