"""Counts of the three groups, and the Net Promoter Score with its spread.

Source: Rocks, "Interval estimation for the Net Promoter Score", The American Statistician 70 (2016),
arXiv:1601.07235. With p = P/n and d = D/n, NPS = p - d and a single answer's g in {+1, 0, -1} has
Var(g) = p + d - (p - d)^2. Scores and intervals are in points, -100..100; n = 0 is None, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import lru_cache
from math import sqrt
from typing import Final, NamedTuple, Self

from shared.feedback.metrics import Group

Z95: Final = 1.959964
"""The two-sided 95 % quantile of the normal distribution, to the digits of the golden tables."""

_TENTH: Final = Decimal("0.1")


class Interval(NamedTuple):
    lo: float
    hi: float


class Band(StrEnum):
    EXCELLENT = "excellent"
    GOOD = "good"
    POOR = "poor"


class Confidence(StrEnum):
    SUPPRESSED = "suppressed"
    LOW = "low"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Counts:
    """Answers by group. Sums and differences stay exact, so a total never depends on the order of arrival.

    A difference may be negative (what a retraction takes away); the statistics need non-negative counts.
    """

    promoters: int = 0
    passives: int = 0
    detractors: int = 0

    @property
    def n(self) -> int:
        return self.promoters + self.passives + self.detractors

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.promoters + other.promoters,
            self.passives + other.passives,
            self.detractors + other.detractors,
        )

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            self.promoters - other.promoters,
            self.passives - other.passives,
            self.detractors - other.detractors,
        )

    @classmethod
    def of(cls, groups: Iterable[Group]) -> Self:
        """The counts of these answers."""
        by_g = [0, 0, 0]
        for group in groups:
            by_g[group + 1] += 1
        return cls(promoters=by_g[2], passives=by_g[1], detractors=by_g[0])


class Moments(NamedTuple):
    """Mean of g and the variance of that mean, as shares: -1..1 and 0..1."""

    mean: float
    var_of_mean: float


def moments(promoters: float, passives: float, detractors: float) -> Moments:
    """Shares of possibly fractional counts whose sum is above zero."""
    n = promoters + passives + detractors
    mean = (promoters - detractors) / n
    # max(): floats may leave -1e-17 where all answers agree.
    return Moments(mean, max(0.0, (promoters + detractors) / n - mean * mean) / n)


def adjusted_moments(counts: Counts) -> Moments:
    """The moments after adding three answers in the proportions 1/4, 1/2, 1/4 (Rocks' "(3, T)")."""
    return moments(counts.promoters + 0.75, counts.passives + 1.5, counts.detractors + 0.75)


def score(counts: Counts) -> float | None:
    """%promoters - %detractors, -100..100, unrounded; None without answers."""
    return 100 * (counts.promoters - counts.detractors) / counts.n if counts.n else None


@lru_cache(maxsize=10_000)
def score_interval(counts: Counts, z: float = Z95) -> Interval | None:
    """The range to show beside the score, within -100..100; None without answers.

    All values that the score test does not refuse (Tango, Statistics in Medicine 17, 1998), so the score is
    always one of them; of all intervals that were compared it covers best where answers are few.
    """
    if not counts.n:
        return None
    p, d, n = counts.promoters, counts.detractors, counts.n

    def test(value: float) -> float:
        """Above 0 where the test refuses the value, as a share."""
        b = (2 * n - p + d) * value - (p + d)
        q = (sqrt(max(0.0, b * b + 8 * n * d * value * (1 - value))) - b) / (4 * n)
        return (p - d - n * value) ** 2 - z * z * n * max(0.0, 2 * q + value * (1 - value))

    centre = (p - d) / n
    return Interval(100 * _last_kept(test, centre, -1.0), 100 * _last_kept(test, centre, 1.0))


_CLOSE: Final = 1e-8


def _last_kept(test: Callable[[float], float], kept: float, edge: float) -> float:
    """The value between the two at which the test begins to be above 0; `edge` if it never is.

    By false position. A side that stays twice weighs half (the Illinois rule), so that it moves too.
    """
    refused, at_refused, at_kept = edge, test(edge), test(kept)
    if at_refused <= 0:
        return edge
    side = 0
    while abs(refused - kept) > _CLOSE:
        middle = (kept * at_refused - refused * at_kept) / (at_refused - at_kept)
        if not min(kept, refused) < middle < max(kept, refused):
            middle = (kept + refused) / 2
        at_middle = test(middle)
        if at_middle > 0:
            refused, at_refused, at_kept = middle, at_middle, at_kept / (2 if side > 0 else 1)
            side = 1
        else:
            kept, at_kept, at_refused = middle, at_middle, at_refused / (2 if side < 0 else 1)
            side = -1
    return kept


def wilson(successes: int, n: int, z: float = Z95) -> Interval | None:
    """Wilson's score interval (1927) for a percentage, within 0..100; None for n = 0. For csat and ces."""
    if not n:
        return None
    share, z2 = successes / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Interval(max(0.0, 100 * (centre - half)), min(100.0, 100 * (centre + half)))


def confidence(n: int, hide_below: int = 1, normal_n: int = 30) -> Confidence:
    """How far a figure of n answers may be shown: not at all, without rank or colour, or fully.

    No answers hide nobody.
    """
    if 0 < n < hide_below:
        return Confidence.SUPPRESSED
    return Confidence.LOW if n < normal_n else Confidence.NORMAL


def band(nps: float) -> Band:
    """excellent >= 50 > good > 0 >= poor, on the unrounded score: 49.99 is good though it shows as 50.0."""
    if nps >= 50:
        return Band.EXCELLENT
    return Band.GOOD if nps > 0 else Band.POOR


def round1(value: float) -> float:
    """One decimal for people, half away from zero: 12.25 -> 12.3, -16.666 -> -16.7, and never -0.0.

    By way of the shortest decimal text, since `round` goes to the even digit and trips over binary halves.
    """
    return float(Decimal(repr(value)).quantize(_TENTH, ROUND_HALF_UP)) + 0.0
