"""A store's loyalty programme: the numbers that the rules of `loyalty` are applied with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Final


class EngagementKind(StrEnum):
    ANSWER = "answer"
    EVENT = "event"
    APP_INSTALL = "app_install"
    REVIEW = "review"
    REFERRAL = "referral"


class NpsEffect(StrEnum):
    """What a low answer does to a tier. The score itself never gives or takes a point."""

    NONE = "none"
    HOLD_ONLY = "hold_only"
    """A detractor's case delays the loss of a tier."""


@dataclass(frozen=True, slots=True)
class Tier:
    name: str
    enter: int
    """Points that lift a customer into it."""
    keep: int
    """Points that renew it; fewer than `enter`, so that nobody flaps between two tiers."""


DEFAULT_TIERS: Final = (
    Tier("Bronze", 0, 0),
    Tier("Silver", 500, 400),
    Tier("Gold", 1500, 1200),
    Tier("Platinum", 4000, 3200),
)
DEFAULT_ENGAGEMENT: Final[Mapping[EngagementKind, int]] = MappingProxyType(
    {
        EngagementKind.ANSWER: 20,
        EngagementKind.EVENT: 50,
        EngagementKind.APP_INSTALL: 50,
        EngagementKind.REVIEW: 25,
        EngagementKind.REFERRAL: 100,
    }
)


@dataclass(frozen=True, slots=True)
class Programme:
    """Points are whole numbers, one for each full unit of currency; days are the store's local days.

    Raises ValueError if the tiers do not climb from a base of 0, or a number of days makes no sense.
    """

    currency: str
    version: str
    """Stored with every transition, so that a decision can be traced to the rules of its time."""
    minor_per_point: int = 100
    """Minor units of the currency in one unit: 100 for EUR, 1 for JPY, 1000 for KWD."""
    tiers: tuple[Tier, ...] = DEFAULT_TIERS
    window_days: int = 365
    valid_days: int = 365
    grace_days: int = 60
    engagement_cap: int = 300
    engagement: Mapping[EngagementKind, int] = field(default_factory=lambda: DEFAULT_ENGAGEMENT, hash=False)
    once: frozenset[EngagementKind] = frozenset({EngagementKind.APP_INSTALL})
    """Kinds that give points the first time only."""
    nps_effect: NpsEffect = NpsEffect.HOLD_ONLY
    hold_after_close_days: int = 30
    hold_max_days: int = 90
    """Counted from the end of grace."""

    def __post_init__(self) -> None:
        if not self.tiers or self.tiers[0].enter != 0:
            raise ValueError("the first tier is the base: enter 0")
        for lower, upper in pairwise(self.tiers):
            if upper.enter <= lower.enter:
                raise ValueError(f"{upper.name} must need more points than {lower.name}")
            if not 0 <= upper.keep <= upper.enter:
                raise ValueError(f"{upper.name} must be kept with no more points than entered")
        if len({tier.name for tier in self.tiers}) < len(self.tiers):
            raise ValueError("two tiers have the same name")
        if min(self.window_days, self.valid_days, self.hold_after_close_days, self.minor_per_point) < 1:
            raise ValueError("window, validity, hold after closing and minor units must be at least 1")
        if min(self.grace_days, self.hold_max_days, self.engagement_cap) < 0:
            raise ValueError("grace, longest hold and engagement cap must not be negative")

    def level_for(self, points: int) -> int:
        """The index of the highest tier that so many points enter."""
        return max(level for level, tier in enumerate(self.tiers) if points >= tier.enter)

    def kept_level(self, points: int) -> int:
        """The index of the highest tier that so many points keep."""
        return max(level for level, tier in enumerate(self.tiers) if points >= tier.keep)

    def level_of(self, name: str) -> int | None:
        """The index of the tier of that name; None if the programme has none such."""
        return next((level for level, tier in enumerate(self.tiers) if tier.name == name), None)
