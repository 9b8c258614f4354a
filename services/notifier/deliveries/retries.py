"""When to try a delivery again, and when to leave a target alone for a while."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from shared.feedback.windows import clocks_change

# Standard Webhooks: at once, then this many seconds after each failure; about three days in all.
_SCHEDULE: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)

MOST_ATTEMPTS: Final = len(_SCHEDULE) + 1

_LONGEST_WAIT: Final = 86_400.0
_LONGEST_HOLD: Final = 3600.0


def delay_after(
    attempt: int, *, luck: float, retry_after_seconds: float | None = None, scale: float = 1.0
) -> float | None:
    """Seconds until the next try after the failed `attempt` (1 is the first), or None: it was the last.

    Full jitter: `luck` of 0..1 of the scheduled wait, so that what failed together does not come back
    together; `scale` shortens it for tests. A receiver that asks for more time gets it, up to a day.
    """
    if attempt >= MOST_ATTEMPTS:
        return None
    wait = _SCHEDULE[attempt - 1] * luck * scale
    return min(max(wait, retry_after_seconds or 0.0), _LONGEST_WAIT)


class Breaker:
    """Opens after failures in a row, for longer each time; then lets one try through.

    The clock is the caller's. While it is open the deliveries wait and use up no attempt.
    """

    def __init__(
        self, *, failures: int = 5, first_seconds: float = 30.0, longest_seconds: float = 300.0
    ) -> None:
        self._most = failures
        self._first = first_seconds
        self._longest = longest_seconds
        self._run = 0
        self._open_until = float("-inf")
        self._held_until = float("-inf")

    def success(self) -> None:
        self._run = 0

    def failure(self, now: float) -> None:
        if now < self._open_until:
            return  # one of those that were on their way when it opened
        self._run += 1
        if self._run >= self._most:
            times = min(self._run - self._most, 10)
            self._open_until = now + min(self._first * 2**times, self._longest)

    def hold(self, now: float, seconds: float) -> None:
        """The receiver asked to be left alone for so long: nothing is sent, up to an hour."""
        self._held_until = max(self._held_until, now + min(seconds, _LONGEST_HOLD))

    def free(self, now: float, *, in_flight: int, most: int) -> int:
        """How many more tries it lets through now, of `most` at once."""
        if now < self._held_until:
            return 0
        if self._run < self._most:
            return max(0, most - in_flight)
        return 1 if now >= self._open_until and not in_flight else 0

    def opens_in(self, now: float) -> float:
        """Seconds until it lets something through; 0 when it does already."""
        opens = self._open_until if self._run >= self._most else now
        return max(0.0, opens - now, self._held_until - now)


# Hours in which a channel is left in peace.

_SPAN: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` until `end` on the wall clock of the store, over midnight when `end` is the earlier."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """`22:00-07:00`. Raises ValueError that says what is wrong."""
        match = _SPAN.fullmatch(text.strip())
        if not match:
            raise ValueError("is not a span of hours such as 22:00-07:00")
        hour, minute, end_hour, end_minute = map(int, match.groups())
        start, end = time(hour, minute), time(end_hour, end_minute)
        if start == end:
            raise ValueError("starts and ends at the same time; leave it out for no quiet hours")
        return cls(start, end)

    def until(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When the quiet that `now` lies in is over, in UTC; None outside of it.

        Wall clocks decide: in the night in which the clock is put back the quiet is an hour longer, in the
        other one an hour shorter. Of an end that comes twice the second counts; an end that the clock skips
        is the moment of the skip.
        """
        local = now.astimezone(zone)
        if not self._holds(local.time()):
            return None
        day = local.date() if local.time() < self.end else local.date() + timedelta(days=1)
        end = datetime.combine(day, self.end, zone).replace(fold=1)
        if end.astimezone(UTC).astimezone(zone).time() == self.end:
            return end.astimezone(UTC)
        # The clock skips it: fold 1 counts back from after the skip, fold 0 on from before it.
        return clocks_change(end.astimezone(UTC), end.replace(fold=0).astimezone(UTC), zone)

    def _holds(self, at: time) -> bool:
        if self.start < self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end
