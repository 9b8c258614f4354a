"""The configuration of a store. Its sections `loyalty` and `alerts` are checked by segmenter and notifier."""

import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from shared.config.hours import BusinessHours
from shared.feedback.metrics import Metric
from shared.feedback.windows import parse_window

NAME_PATTERN = r"^[a-z0-9_][a-z0-9_-]{0,63}$"
"""The form of names of segments and touchpoints, here and in what clients send."""
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]

TIER = "tier"
TOUCHPOINT = "touchpoint"
UNKNOWN = "unknown"
OTHER = "other"


DEFAULT_TIERS = ("Bronze", "Silver", "Gold", "Platinum")
"""The names of the tiers of a store that declares none, the lowest first."""


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is not a time zone of the IANA database, as Europe/Amsterdam is")
    return name


def _window(text: str) -> str:
    parse_window(text)
    return text


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Segment(Strict):
    """A dimension by which scores are divided. With `values`, any other value counts as `other`."""

    values: tuple[str, ...] | None = Field(None, description="The values that have a score of their own")


class HideBelow(Strict):
    """From how many answers on the scores of each metric are shown; 1: always.

    A score that counts a confidential answer is hidden below 5 all the same.
    """

    nps: int = Field(1, ge=1)
    csat: int = Field(1, ge=1)
    ces: int = Field(1, ge=1)
    enps: int = Field(5, ge=1, description="Colleagues are few, and know one another")

    def of(self, metric: Metric) -> int:
        """The least number of answers of a score of this metric that is shown."""
        number: int = getattr(self, metric.value)
        return number


class Store(Strict):
    """One shop: everything in the product belongs to exactly one."""

    name: str = Field(min_length=1, max_length=80, description="Shown to people")
    timezone: Annotated[str, AfterValidator(_zone)] = Field(
        "UTC", description="Days and months are cut in it"
    )
    currency: str = Field("EUR", pattern="^[A-Z]{3}$", description="The only currency of its orders")
    industry: str | None = Field(None, description="Picks the benchmark")
    allowed_origins: tuple[str, ...] = Field((), description="Where its public keys may be used from")
    segments: dict[Name, Segment] = Field({}, description="Dimensions that have scores")
    combinations: tuple[tuple[Name, ...], ...] = Field(
        (), description="Sets of dimensions (also `touchpoint` and `tier`) that have scores together"
    )
    touchpoints: tuple[Name, ...] = Field((), description="Touchpoints that have scores of their own")
    windows: tuple[Annotated[str, AfterValidator(_window)], ...] = Field(
        ("7d", "30d", "90d", "365d"), description="Sliding windows that are published"
    )
    policy: Literal["all", "latest"] = Field(
        "latest", description="Every answer, or each respondent's last one; published and the API's default"
    )
    hide_below: HideBelow = Field(
        HideBelow(),
        description="By metric: scores of fewer answers are hidden, so that nobody's answer is told",
    )
    normal_n: int = Field(30, ge=2, description="Scores of fewer answers have low confidence")
    metric_segments: tuple[Name, ...] = Field(
        (),
        description="Dimensions, as in combinations, whose scores Prometheus sees; at most 20 values of each",
    )
    business_hours: BusinessHours | None = Field(
        None, description="When people work, in the time zone; for clocks of cases that count them"
    )
    loyalty: dict[str, Any] = Field({}, description="Tiers and rules; the segmenter's")
    alerts: dict[str, Any] = Field({}, description="Rules and channels; the notifier's")

    @model_validator(mode="before")
    @classmethod
    def _says_what_is_no_more(cls, written: Any) -> Any:
        if isinstance(written, dict) and "min_n" in written:
            text = "is no more: hide_below hides scores by metric, {enps: 5} if you say nothing"
            raise ValidationError.from_exception_data("Store", [_fault(text, "min_n")])
        return written

    @model_validator(mode="after")
    def _names_fit(self) -> "Store":
        known = {*self.segments, TIER, TOUCHPOINT}
        faults = [
            _fault("is built in and need not be declared", "segments", name)
            for name in self.segments
            if name in {TIER, TOUCHPOINT}
        ]
        faults += [
            _fault(f"{name} is not a declared segment", "combinations", index, part)
            for index, combination in enumerate(self.combinations)
            for part, name in enumerate(combination)
            if name not in known
        ]
        faults += [
            _fault(f"{name} is not a declared segment", "metric_segments", index)
            for index, name in enumerate(self.metric_segments)
            if name not in known
        ]
        faults += [
            _fault("is not scheme://host[:port] in lower case", "allowed_origins", index)
            for index, origin in enumerate(self.allowed_origins)
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?", origin)
        ]
        if faults:
            # pydantic keeps the places of these, so that each mistake has its own line.
            raise ValidationError.from_exception_data("Store", faults)
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def tiers(self) -> tuple[str, ...]:
        """The names of the tiers, the lowest first, as `loyalty` declares them; the segmenter checks it."""
        declared = self.loyalty.get("tiers")
        if not isinstance(declared, list):
            return DEFAULT_TIERS
        return tuple(str(tier["name"]) for tier in declared if isinstance(tier, dict) and "name" in tier)


def _fault(text: str, *place: str | int) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("store", "{what}", {"what": text}), loc=place, input=None
    )
