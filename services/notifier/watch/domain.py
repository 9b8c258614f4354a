"""When a score has fallen, and when answers have stopped coming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from statistics import median
from typing import Final

from shared.feedback.comparison import Difference, Verdict, difference, verdict
from shared.feedback.metrics import Metric
from shared.feedback.nps import Counts

FALSE_DISCOVERIES: Final = 0.05
"""Of the falls that a rule tells over many segments at once, at most this share is noise."""

WEEKS_BEFORE: Final = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """The counts of a score's window as they were at a moment."""

    as_of: datetime
    counts: Counts


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """`segments` and `touchpoints`: "" is all together, "*" each one."""

    name: str
    metric: Metric
    window: str
    length: timedelta
    segments: frozenset[str]
    touchpoints: frozenset[str]
    at_least_points: float
    channels: tuple[str, ...] | None

    def watches(self, *, metric: str, window: str, segment: str, touchpoint: str) -> bool:
        return (
            (metric, window) == (self.metric.value, self.window)
            and _named(segment, self.segments)
            and _named(touchpoint, self.touchpoints)
        )


def _named(value: str, names: frozenset[str]) -> bool:
    return value in names or (bool(value) and "*" in names)


@dataclass(frozen=True, slots=True)
class Compared:
    """One watched score beside what it was a window ago; `fall_told`: its fall was told and is not over."""

    key: str
    before: Sample
    now: Sample
    fall_told: bool = False


class FallChange(StrEnum):
    FELL = "fell"
    OVER = "over"
    """No longer significantly lower: the next fall is told again."""


def disjoint(now: Sample, before: Sample, length: timedelta) -> bool:
    """Whether the two windows share no answer, and are not further apart than one window.

    Each is (as_of - length, as_of]. Windows that overlap must never be compared with this test.
    """
    return length <= now.as_of - before.as_of <= 2 * length


def difference_of(compared: Compared, metric: Metric) -> Difference | None:
    return difference(compared.before.counts, compared.now.counts, metric=metric)


def fall_changes(rule: ScoreRule, scores: Sequence[Compared]) -> dict[str, FallChange]:
    """Which of these scores fell, and of which the fall is over, by key.

    A fall is told when the verdict is LOWER (p < 0.01, 30 answers on both sides), it is of so many points,
    and it stands among all that the rule watches (Benjamini & Hochberg). It is over when there are enough
    answers on both sides and p is 0.05 or more, or the score is not lower: between the two nothing
    changes, so that a score on the edge is not told again and again.
    """
    differences = {
        score.key: (score, difference_of(score, rule.metric))
        for score in scores
        if disjoint(score.now, score.before, rule.length)
    }
    standing = _discoveries({key: d.p for key, (_, d) in differences.items() if d and d.p is not None})
    changes: dict[str, FallChange] = {}
    for key, (score, gap) in differences.items():
        judged = verdict(gap)
        if gap is None or judged is Verdict.TOO_FEW:
            continue
        if score.fall_told:
            if not (gap.significant() and gap.delta < 0):
                changes[key] = FallChange.OVER
        elif judged is Verdict.LOWER and gap.delta <= -rule.at_least_points and key in standing:
            changes[key] = FallChange.FELL
    return changes


def _discoveries(p_values: Mapping[str, float]) -> set[str]:
    """The keys that stand at a false discovery rate of 5 % (Benjamini & Hochberg, 1995)."""
    ranked = sorted(p_values, key=lambda key: p_values[key])
    last = max(
        (
            rank
            for rank, key in enumerate(ranked, start=1)
            if p_values[key] <= FALSE_DISCOVERIES * rank / len(ranked)
        ),
        default=0,
    )
    return set(ranked[:last])


@dataclass(frozen=True, slots=True)
class SilenceRule:
    """`touchpoints`: each is watched by itself; none at all: the store as a whole."""

    name: str
    touchpoints: tuple[str, ...]
    hours: int
    usual_at_least: float
    channels: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """All that a store has decided about watching. `channels`: the names of those that are on."""

    score_rules: tuple[ScoreRule, ...] = ()
    silence_rules: tuple[SilenceRule, ...] = ()
    channels: tuple[str, ...] = ()


def usual_hours(now: datetime, hours: int, zone: tzinfo) -> list[tuple[datetime, datetime]]:
    """The last `hours` whole hours, as they stood on the wall in each of the four weeks before; UTC."""
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(hours=hours)
    weeks = range(1, WEEKS_BEFORE + 1)
    return [(_weeks_ago(start, week, zone), _weeks_ago(end, week, zone)) for week in weeks]


def _weeks_ago(instant: datetime, weeks: int, zone: tzinfo) -> datetime:
    """The same time of day on the same weekday, whatever the clocks did in between."""
    wall = instant.astimezone(zone).replace(tzinfo=None) - timedelta(weeks=weeks)
    return wall.replace(tzinfo=zone).astimezone(UTC)


def usual(counts: Sequence[int]) -> float:
    """Of the same hours in the weeks before: the median, so that neither a holiday nor a campaign decides."""
    return float(median(counts)) if counts else 0.0


def silent(rule: SilenceRule, last_answer: datetime | None, usually: float, now: datetime) -> bool:
    """No answers for so long where there usually are some. A store that never had one is not silent."""
    if last_answer is None or usually < rule.usual_at_least:
        return False
    return now - last_answer >= timedelta(hours=rule.hours)
