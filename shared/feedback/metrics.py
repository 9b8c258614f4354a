"""The four metrics, their scales, and the three groups that every answer falls into.

    nps   0-10          9-10 / 7-8 / 0-6
    enps  0-10          9-10 / 7-8 / 0-6      1-5 (Culture Amp)   5 / 4 / 1-3
    csat  1-5           4-5 / 3 / 1-2         1-7                 6-7 / 4-5 / 1-3
    ces   1-7 (ease)    5-7 / 4 / 1-3         1-5-effort (CEB)    1-2 / 3 / 4-5

One vocabulary serves all: promoter means favourable, passive neutral, detractor unfavourable. A scale says
by itself whether high is good, so a bare "CES of 2" cannot be stored. On csat 1-7 the neutral group is what
lies between the middle and the top two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, TypeGuard


class FeedbackError(ValueError):
    """Root of this module's errors; the sender's fault, and trying again will not help.

    FeedbackError
      UnknownScale   the metric, or its scale, is not one that Closeloop knows
      InvalidScore   not an integer of the scale
    """


class UnknownScale(FeedbackError):
    pass


class InvalidScore(FeedbackError):
    pass


class Metric(StrEnum):
    NPS = "nps"
    CSAT = "csat"
    CES = "ces"
    ENPS = "enps"


class Polarity(StrEnum):
    EASE = "ease"
    """Higher is better."""
    EFFORT = "effort"
    """Higher is worse: the original CEB question."""


class Group(IntEnum):
    """The value is g of the formulas: NPS is the mean of g, and a worse group is a smaller one."""

    DETRACTOR = -1
    PASSIVE = 0
    PROMOTER = 1


@dataclass(frozen=True, slots=True)
class Scale:
    """The integers `low`..`high` of one question, the best of which is `high` unless polarity is effort."""

    metric: Metric
    id: str
    low: int
    high: int
    polarity: Polarity
    groups: Mapping[int, Group] = field(repr=False, hash=False)

    def is_valid(self, score: object) -> TypeGuard[int]:
        """True for an integer of the scale; False for a bool, a float (even 9.0), text and None."""
        return type(score) is int and self.low <= score <= self.high

    def group_of(self, score: object) -> Group:
        """Raises InvalidScore."""
        if type(score) is int and (group := self.groups.get(score)) is not None:
            return group
        raise InvalidScore(
            f"{self.metric} score {score!r} is not an integer of {self.low}..{self.high} (scale {self.id})"
        )

    def ease_index(self, score: float) -> float:
        """A CES score, or a mean of scores, as 0..100 where higher is easier.

        100*(x-min)/(max-min) for ease, 100*(max-x)/(max-min) for effort: the only form in which two CES
        scales may be averaged or drawn together. Raises UnknownScale for another metric than CES, and
        InvalidScore outside the scale.
        """
        if self.metric is not Metric.CES:
            raise UnknownScale(f"ease_index is for ces, not for {self.metric}")
        if not self.low <= score <= self.high:
            raise InvalidScore(f"ces score {score!r} is outside {self.low} to {self.high} (scale {self.id})")
        above = score - self.low if self.polarity is Polarity.EASE else self.high - score
        return 100 * above / (self.high - self.low)


def _scale(metric: Metric, scale_id: str, *, bad: range, neutral: range, good: range) -> Scale:
    groups = (
        dict.fromkeys(bad, Group.DETRACTOR)
        | dict.fromkeys(neutral, Group.PASSIVE)
        | dict.fromkeys(good, Group.PROMOTER)
    )
    polarity = Polarity.EASE if good[-1] > bad[0] else Polarity.EFFORT
    return Scale(metric, scale_id, min(groups), max(groups), polarity, groups)


SCALES: Final[tuple[Scale, ...]] = (
    _scale(Metric.NPS, "0-10", bad=range(7), neutral=range(7, 9), good=range(9, 11)),
    _scale(Metric.CSAT, "1-5", bad=range(1, 3), neutral=range(3, 4), good=range(4, 6)),
    _scale(Metric.CSAT, "1-7", bad=range(1, 4), neutral=range(4, 6), good=range(6, 8)),
    _scale(Metric.CES, "1-7", bad=range(1, 4), neutral=range(4, 5), good=range(5, 8)),
    _scale(Metric.CES, "1-5-effort", bad=range(4, 6), neutral=range(3, 4), good=range(1, 3)),
    _scale(Metric.ENPS, "0-10", bad=range(7), neutral=range(7, 9), good=range(9, 11)),
    _scale(Metric.ENPS, "1-5", bad=range(1, 4), neutral=range(4, 5), good=range(5, 6)),
)
"""The first scale of a metric is its default."""

# Keyed by plain text too: a StrEnum hashes and compares as its value, so the hot path parses no enum.
_BY_ID: Final[dict[tuple[str, str | None], Scale]] = {(s.metric, s.id): s for s in SCALES}
for _default in reversed(SCALES):
    _BY_ID[_default.metric, None] = _default


def scale_for(metric: str, scale_id: str | None = None) -> Scale:
    """The metric's scale of that id, or its default. Raises UnknownScale, which lists what there is."""
    try:
        return _BY_ID[metric, scale_id]
    except (KeyError, TypeError):
        allowed = [s.id for s in SCALES if s.metric == metric]
    if not allowed:
        raise UnknownScale(f"unknown metric {metric!r}: use one of {', '.join(Metric)}")
    raise UnknownScale(f"unknown scale {scale_id!r} for {metric}: use one of {', '.join(allowed)}")


def group_of(metric: str, scale_id: str | None, score: object) -> Group:
    """Favourable, neutral or unfavourable. Raises UnknownScale or InvalidScore."""
    return scale_for(metric, scale_id).group_of(score)


def low(metric: str, scale_id: str | None, score: object) -> bool:
    """True if the answer asks for a case: it is in the unfavourable group. Raises as `group_of`."""
    return scale_for(metric, scale_id).group_of(score) is Group.DETRACTOR
