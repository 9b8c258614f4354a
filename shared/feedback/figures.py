"""A score as it may be shown: its value, its interval and its confidence; nothing where it would say who
answered what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.feedback.metrics import Metric
from shared.feedback.nps import (
    Band,
    Confidence,
    Counts,
    Interval,
    band,
    confidence,
    score,
    score_interval,
    wilson,
)

CONFIDENTIAL_BELOW: Final = 5
"""A score with a confidential answer is hidden while it has fewer answers than this."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric over one set of answers, unrounded (`round1` is for the edge that shows it).

    nps, enps: score -100..100, ci95 the score interval, with a band. csat, ces: score is the percentage of
    favourable answers 0..100, ci95 Wilson, band None. `margin` is the half-width in points. `mean` is in the
    units of the scale. Hidden: everything but `confidence` (suppressed) and `hidden`, the reason, is None. An
    empty set is not hidden: n = 0.
    """

    metric: Metric
    confidence: Confidence
    n: int | None = None
    counts: Counts | None = None
    score: float | None = None
    margin: float | None = None
    ci95: Interval | None = None
    band: Band | None = None
    mean: float | None = None
    hidden: str | None = None


def summary(
    metric: Metric,
    counts: Counts,
    sum_score: int | None = None,
    *,
    hide_below: int = 1,
    confidential: int = 0,
    normal_n: int = 30,
) -> Figure:
    """The figure to show for these counts.

    `sum_score` is the sum of the raw scores of the same answers, all on one scale (None: no mean).
    `confidential`: how many of the answers are; with any, the figure is hidden below `CONFIDENTIAL_BELOW`.
    Raises ValueError for a count below zero: some contribution was subtracted twice.
    """
    if min(counts.promoters, counts.passives, counts.detractors) < 0:
        raise ValueError(f"{counts} has a count below zero")
    n = counts.n
    shown_from = max(hide_below, CONFIDENTIAL_BELOW) if confidential else hide_below
    sure = confidence(n, shown_from, normal_n)
    if not n:
        return Figure(metric, sure, n=0, counts=counts)
    if sure is Confidence.SUPPRESSED:
        return Figure(metric, sure, hidden=f"fewer than {shown_from} answers")
    mean = None if sum_score is None else sum_score / n
    if metric in (Metric.CSAT, Metric.CES):
        interval = wilson(counts.promoters, n)
        return Figure(
            metric,
            sure,
            n=n,
            counts=counts,
            score=100 * counts.promoters / n,
            margin=None if interval is None else (interval.hi - interval.lo) / 2,
            ci95=interval,
            mean=mean,
        )
    points, interval = score(counts), score_interval(counts)
    return Figure(
        metric,
        sure,
        n=n,
        counts=counts,
        score=points,
        margin=None if interval is None else (interval.hi - interval.lo) / 2,
        ci95=interval,
        band=None if points is None else band(points),
        mean=mean,
    )
