"""When to stop a consumer rather than drain a bad deploy into the dead letters."""

from collections import deque


class Breaker:
    """Opens after `in_a_row` bad records, or when more than `ratio` of the last `window` were bad."""

    def __init__(self, *, in_a_row: int = 50, ratio: float = 0.05, window: int = 1000) -> None:
        self._in_a_row = in_a_row
        self._ratio = ratio
        self._recent: deque[bool] = deque(maxlen=window)
        self._bad_recent = 0
        self._run = 0

    def good(self, records: int) -> None:
        """Note records that were applied."""
        if records:
            self._run = 0
        for _ in range(min(records, self._recent.maxlen or 0)):
            self._push(False)

    def bad(self) -> None:
        """Note a record that was buried."""
        self._run += 1
        self._push(True)

    def allows_bad(self) -> bool:
        """Whether one more may be buried."""
        if self._run >= self._in_a_row:
            return False
        full = len(self._recent) == self._recent.maxlen
        return not full or self._bad_recent + 1 <= self._ratio * len(self._recent)

    def _push(self, bad: bool) -> None:
        if len(self._recent) == self._recent.maxlen and self._recent[0]:
            self._bad_recent -= 1
        self._recent.append(bad)
        self._bad_recent += bad
