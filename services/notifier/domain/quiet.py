"""Hours in which a channel is left in peace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_SPAN: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` until `end` on the wall clock of the store, over midnight when `end` is the earlier."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """`22:00-07:00`. Raises ValueError that says what is wrong."""
        found = _SPAN.fullmatch(text.strip())
        if not found:
            raise ValueError("is not a span of hours such as 22:00-07:00")
        hour, minute, end_hour, end_minute = map(int, found.groups())
        start, end = time(hour, minute), time(end_hour, end_minute)
        if start == end:
            raise ValueError("starts and ends at the same time; leave it out for no quiet hours")
        return cls(start, end)

    def until(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When the quiet that `now` lies in is over, in UTC; None outside of it.

        Wall clocks decide: in the night in which the clock is put back the quiet is an hour longer, in the
        other one an hour shorter. Of an end that comes twice the second counts; one that the clock skips
        is as many minutes after the skip.
        """
        local = now.astimezone(zone)
        if not self._holds(local.time()):
            return None
        day = local.date() if local.time() < self.end else local.date() + timedelta(days=1)
        end = datetime.combine(day, self.end, zone).replace(fold=1)
        if end.astimezone(UTC).astimezone(zone).time() != self.end:  # the clock skips it
            end = end.replace(fold=0)
        return end.astimezone(UTC)

    def _holds(self, at: time) -> bool:
        if self.start < self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end
