"""A score as it may be shown: its value, its interval and its confidence; nothing where n is too small."""

from __future__ import annotations

from dataclasses import dataclass

from shared.feedback.metrics import Metric
from shared.feedback.nps import (
    Band,
    Confidence,
    Counts,
    Interval,
    adjusted_wald,
    band,
    confidence,
    margin,
    score,
    wilson,
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric over one set of answers, unrounded (`round1` is for the edge that shows it).

    nps, enps: score -100..100, ci95 adjusted Wald, with a band. csat, ces: score is the percentage of
    favourable answers 0..100, ci95 Wilson, band None. `margin` is the half-width in points. `mean` is in the
    units of the scale. Suppressed: everything but `confidence` is None, save that an empty set has n = 0.
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


def summary(
    metric: Metric, counts: Counts, sum_score: int | None = None, *, min_n: int = 5, normal_n: int = 30
) -> Figure:
    """The figure to show for these counts.

    `sum_score` is the sum of the raw scores of the same answers, all on one scale (None: no mean).
    Raises ValueError for a count below zero: some contribution was subtracted twice.
    """
    if min(counts.promoters, counts.passives, counts.detractors) < 0:
        raise ValueError(f"{counts} has a count below zero")
    n = counts.n
    sure = confidence(n, min_n, normal_n)
    if not n:
        return Figure(metric, sure, n=0, counts=counts)
    if sure is Confidence.SUPPRESSED:
        return Figure(metric, sure)
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
    points = score(counts)
    return Figure(
        metric,
        sure,
        n=n,
        counts=counts,
        score=points,
        margin=margin(counts),
        ci95=adjusted_wald(counts),
        band=None if points is None else band(points),
        mean=mean,
    )
