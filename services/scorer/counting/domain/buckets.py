"""The difference that a batch of answers makes to the day buckets."""

from dataclasses import dataclass
from datetime import date

from services.scorer.counting.domain.answer import Contribution

_EVERY, _LATEST = 0, 4


@dataclass(slots=True)
class BucketDelta:
    """What to add to one bucket: counts by group and the sum of scores, for both policies."""

    series: int
    day: date
    every: list[int]
    """[detractors, passives, promoters, sum of scores] over all answers."""
    latest: list[int]
    """The same over each respondent's last answer."""


class BucketChanges:
    """Notes what answers counted for before and after, and adds up the difference."""

    def __init__(self) -> None:
        # Answers of one day that share all their series are added up before they are spread over them.
        self._sums: dict[tuple[tuple[int, ...], date], list[int]] = {}

    def note(
        self, before: Contribution | None, was_latest: bool, after: Contribution | None, is_latest: bool
    ) -> None:
        """An answer counted as `before` and now counts as `after`; None: not at all."""
        if before != after:
            self._add(before, -1, _EVERY)
            self._add(after, 1, _EVERY)
        was, now = before if was_latest else None, after if is_latest else None
        if was != now:
            self._add(was, -1, _LATEST)
            self._add(now, 1, _LATEST)

    def _add(self, contribution: Contribution | None, times: int, first: int) -> None:
        if contribution is None:
            return
        series, day, group, score, _, _ = contribution
        counts = self._sums.get((series, day))
        if counts is None:
            counts = self._sums[series, day] = [0] * 8
        counts[first + group + 1] += times
        counts[first + 3] += score * times

    @property
    def series(self) -> set[int]:
        """Every series in which something counts or counted, even where nothing is left to add."""
        return {series for shared, _ in self._sums for series in shared}

    def deltas(self) -> list[BucketDelta]:
        """The buckets that change, sorted, so that two writers lock them in the same order."""
        buckets: dict[tuple[int, date], list[int]] = {}
        for (shared, day), counts in self._sums.items():
            changes = [(place, count) for place, count in enumerate(counts) if count]
            for series in shared:
                total = buckets.setdefault((series, day), [0] * 8)
                for place, count in changes:
                    total[place] += count
        return [
            BucketDelta(*key, counts[:4], counts[4:])
            for key, counts in sorted(buckets.items())
            if any(counts)
        ]
