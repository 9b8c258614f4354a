"""The section `loyalty` of a store: its programme of tiers, as the operator writes it."""

import hashlib
from itertools import pairwise
from typing import Annotated

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from services.segmenter.tiers.domain.programme import (
    DEFAULT_ENGAGEMENT,
    EngagementKind,
    NpsEffect,
    Programme,
    Tier,
)
from services.segmenter.tiers.domain.ruling import LoyaltyRules, RulesByStore
from shared.config import Config, Store
from shared.config.stores import Strict

# ISO 4217: minor units in one unit of the currency, where that is not 100.
# fmt: off
_NO_DECIMALS = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF",
    "XOF", "XPF",
)
# fmt: on
_THREE_DECIMALS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_MINOR_UNITS = dict.fromkeys(_NO_DECIMALS, 1) | dict.fromkeys(_THREE_DECIMALS, 1000)


_RULES_OF_THE_FOLD = 2
"""Raised when the fold decides otherwise over the same facts and programme: all customers are then folded
again when the segmenter starts. 2: a partial refund costs a tier below `keep` only; fractions of a cent."""


class TierSection(Strict):
    name: str = Field(min_length=1, max_length=64, description="Shown to people, and a segment of scores")
    enter: int = Field(ge=0, description="Points that lift a customer into it")
    keep: int = Field(ge=0, description="Points that renew it")


class Engagement(Strict):
    """Points for what customers do beside buying."""

    cap: int = Field(300, ge=0, description="Most points from engagement within the window")
    points: dict[EngagementKind, Annotated[int, Field(ge=0)]] = Field(
        dict(DEFAULT_ENGAGEMENT), description="Points by kind; a kind that is not listed gives none"
    )
    once: tuple[EngagementKind, ...] = Field(
        (EngagementKind.APP_INSTALL,), description="Kinds that give points the first time only"
    )


class Loyalty(Strict):
    """The section `loyalty` of a store. One unit of the store's currency is one point."""

    tiers: tuple[TierSection, ...] = Field(
        (
            TierSection(name="Bronze", enter=0, keep=0),
            TierSection(name="Silver", enter=500, keep=400),
            TierSection(name="Gold", enter=1500, keep=1200),
            TierSection(name="Platinum", enter=4000, keep=3200),
        ),
        min_length=1,
        max_length=20,
        description="From the base tier upwards",
    )
    window_days: int = Field(365, ge=1, le=3660, description="Points count for so long")
    valid_days: int = Field(365, ge=1, le=3660, description="A tier is valid for so long from its day on")
    grace_days: int = Field(60, ge=0, le=3660, description="To earn what is missing, benefits kept")
    engagement: Engagement = Field(Engagement(), description="Points beside the spend")
    nps_effect: NpsEffect = Field(NpsEffect.HOLD_ONLY, description="What an unhappy customer's case does")
    hold_after_close_days: int = Field(30, ge=1, le=3660, description="A closed case holds a tier so long")
    hold_max_days: int = Field(90, ge=0, le=3660, description="Longest hold after the grace")

    @model_validator(mode="after")
    def _tiers_climb(self) -> "Loyalty":
        faults = []
        if self.tiers[0].enter != 0:
            faults.append((0, "enter", "the first tier is everybody's: it is entered with 0 points"))
        for index, (lower, upper) in enumerate(pairwise(self.tiers), start=1):
            if upper.enter <= lower.enter:
                faults.append((index, "enter", f"must be more than the {lower.enter} of {lower.name}"))
        for index, tier in enumerate(self.tiers):
            if tier.keep > tier.enter:
                faults.append((index, "keep", f"must not be more than enter, {tier.enter}"))
            if tier.name in {other.name for other in self.tiers[:index]}:
                faults.append((index, "name", "is the name of a tier above"))
        if faults:
            # pydantic takes these over with their places, so that each mistake has its line.
            raise ValidationError.from_exception_data(
                "loyalty",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("tiers", text),
                        loc=("tiers", index, name),
                        input=None,
                    )
                    for index, name, text in faults
                ],
            )
        return self

    def programme(self, store: Store) -> Programme:
        """The rules for the domain. Their version changes with these rules only, not with the whole file."""
        content = f"{_RULES_OF_THE_FOLD} {self.model_dump_json()} {store.currency} {store.timezone}"
        return Programme(
            currency=store.currency,
            version=hashlib.sha256(content.encode()).hexdigest()[:12],
            minor_per_point=_MINOR_UNITS.get(store.currency, 100),
            tiers=tuple(Tier(tier.name, tier.enter, tier.keep) for tier in self.tiers),
            window_days=self.window_days,
            valid_days=self.valid_days,
            grace_days=self.grace_days,
            engagement_cap=self.engagement.cap,
            engagement=self.engagement.points,
            once=frozenset(self.engagement.once),
            nps_effect=self.nps_effect,
            hold_after_close_days=self.hold_after_close_days,
            hold_max_days=self.hold_max_days,
        )


def loyalty_rules(config: Config) -> RulesByStore:
    """The rules of every store. Raises ConfigError with the line of each mistake."""
    return {
        name: LoyaltyRules(config.section(name, "loyalty", Loyalty).programme(store), store.zone)
        for name, store in config.stores.items()
    }
