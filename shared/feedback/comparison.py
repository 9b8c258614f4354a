"""Two disjoint groups of answers side by side: two periods, or two segments.

Windows that overlap share answers and must not be compared with this.
Source: delta = b - a, SE = sqrt(Var_a/n_a + Var_b/n_b), p = 2*(1 - Phi(|z|)). By default both groups are
adjusted first: an NPS with Rocks' three answers (MeasuringU), a share with Agresti & Caffo's two (2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import erfc, sqrt
from typing import Final

from shared.feedback.metrics import Metric
from shared.feedback.nps import Z95, Counts, Interval, Moments, adjusted_moments, moments

ALPHA: Final = 0.05
BORDERLINE: Final = (0.01, 0.10)
"""Between these the tests disagree with one another (Wald says yes, a permutation no): say "borderline"."""


class Verdict(StrEnum):
    TOO_FEW = "too_few"
    HIGHER = "higher"
    LOWER = "lower"
    BORDERLINE = "borderline"
    NO_DIFFERENCE = "no_difference"


@dataclass(frozen=True, slots=True)
class Difference:
    """b minus a, in points. `z` and `p` are None where the spread is zero and nothing can be said.

    `delta` is the plain difference of the two scores shown; `se`, `z`, `p` and `ci95` come from the adjusted
    groups unless asked otherwise, so that `ci95` is not centred on `delta`.
    """

    delta: float
    se: float
    z: float | None
    p: float | None
    ci95: Interval
    smaller_n: int

    def significant(self, *, normal_n: int = 30) -> bool:
        """p < 0.05 with enough answers on both sides to draw an arrow."""
        return self.smaller_n >= normal_n and self.p is not None and self.p < ALPHA


def difference(
    a: Counts, b: Counts, *, metric: Metric = Metric.NPS, adjusted: bool = True
) -> Difference | None:
    """How far b lies above a, signed; None if either has no answers.

    nps and enps compare scores (-200..200), csat and ces the percentages of favourable answers (-100..100).
    """
    if not a.n or not b.n:
        return None
    share = metric in (Metric.CSAT, Metric.CES)
    net_a, net_b = (c.promoters if share else c.promoters - c.detractors for c in (a, b))
    from_a, from_b = (_moments(c, share=share, adjusted=adjusted) for c in (a, b))
    centre = 100 * (from_b.mean - from_a.mean)
    se = 100 * sqrt(from_a.var_of_mean + from_b.var_of_mean)
    z = centre / se if se else None
    edge = 100.0 if share else 200.0
    return Difference(
        delta=100 * (net_b * a.n - net_a * b.n) / (a.n * b.n),
        se=se,
        z=z,
        p=None if z is None else erfc(abs(z) / sqrt(2)),
        ci95=Interval(max(-edge, centre - Z95 * se), min(edge, centre + Z95 * se)),
        smaller_n=min(a.n, b.n),
    )


def _moments(counts: Counts, *, share: bool, adjusted: bool) -> Moments:
    if not share:
        if adjusted:
            return adjusted_moments(counts)
        return moments(counts.promoters, counts.passives, counts.detractors)
    extra = 1 if adjusted else 0
    return moments(counts.promoters + extra, counts.n - counts.promoters + extra, 0)


def verdict(change: Difference | None, *, normal_n: int = 30) -> Verdict:
    """A difference in one word, for people; the first rule that fits."""
    if change is None or change.smaller_n < normal_n:
        return Verdict.TOO_FEW
    if change.p is None or change.p > BORDERLINE[1]:
        return Verdict.NO_DIFFERENCE
    if change.p >= BORDERLINE[0]:
        return Verdict.BORDERLINE
    return Verdict.HIGHER if change.delta > 0 else Verdict.LOWER
