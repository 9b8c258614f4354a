"""The difference that a batch makes to the day buckets."""

from collections import Counter
from dataclasses import dataclass
from datetime import date

from services.scorer.domain.answer import Contribution


@dataclass(slots=True)
class BucketDelta:
    """What to add to one bucket: counts by group and the sum of scores, for both policies."""

    series: int
    day: date
    every: list[int]
    """[detractors, passives, promoters, sum of scores] over all answers."""
    latest: list[int]
    """The same over each respondent's last answer."""


class Ledger:
    """Notes what answers counted for before and after; equal notes cancel out."""

    def __init__(self) -> None:
        self._every: Counter[Contribution] = Counter()
        self._latest: Counter[Contribution] = Counter()

    def note(
        self, before: Contribution | None, was_latest: bool, after: Contribution | None, is_latest: bool
    ) -> None:
        """An answer counted as `before` and now counts as `after`; None: not at all."""
        if before != after:
            if before:
                self._every[before] -= 1
            if after:
                self._every[after] += 1
        was, now = before if was_latest else None, after if is_latest else None
        if was != now:
            if was:
                self._latest[was] -= 1
            if now:
                self._latest[now] += 1

    def deltas(self) -> list[BucketDelta]:
        """The buckets that change, sorted, so that two writers lock them in the same order."""
        # Answers of one day that share all their series are added up before they are spread over them.
        sums: dict[tuple[tuple[int, ...], date], list[int]] = {}
        for contributions, first in ((self._every, 0), (self._latest, 4)):
            for (series, day, group, score), times in contributions.items():
                if times:
                    counts = sums.get((series, day))
                    if counts is None:
                        counts = sums[series, day] = [0] * 8
                    counts[first + group + 1] += times
                    counts[first + 3] += score * times
        buckets: dict[tuple[int, date], list[int]] = {}
        for (several, day), counts in sums.items():
            for one in several:
                total = buckets.get((one, day))
                buckets[one, day] = (
                    counts if total is None else [a + b for a, b in zip(total, counts, strict=True)]
                )
        return [
            BucketDelta(*key, counts[:4], counts[4:])
            for key, counts in sorted(buckets.items())
            if any(counts)
        ]
