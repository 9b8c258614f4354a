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
        buckets: dict[tuple[int, date], BucketDelta] = {}
        for contributions, policy in ((self._every, "every"), (self._latest, "latest")):
            for contribution, times in contributions.items():
                if not times:
                    continue
                slot, points = contribution.group + 1, contribution.score * times
                for series in contribution.series:
                    key = (series, contribution.day)
                    bucket = buckets.get(key)
                    if bucket is None:
                        bucket = buckets[key] = BucketDelta(*key, [0, 0, 0, 0], [0, 0, 0, 0])
                    counts = bucket.every if policy == "every" else bucket.latest
                    counts[slot] += times
                    counts[3] += points
        return [
            buckets[key] for key in sorted(buckets) if any(buckets[key].every) or any(buckets[key].latest)
        ]
