"""Rules over scores and over silence: the parts of a store's `alerts` section that say what is watched."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from services.notifier.deliveries.settings import Fault, unknown_channels
from services.notifier.watch.domain import ScoreRule as DomainScoreRule
from services.notifier.watch.domain import SilenceRule as DomainSilenceRule
from services.notifier.watch.domain import WatchPolicy
from shared.config import Config
from shared.config.loading import Mistake
from shared.config.stores import TIER, Name, Strict
from shared.feedback.metrics import Metric
from shared.feedback.windows import parse_window

EACH = "*"


def _window(text: str) -> str:
    parse_window(text)
    return text


class ScoreRule(Strict):
    """Tells when a score is lower than one window ago by more than noise.

    What is compared are two windows that share no answer, with 30 answers in both.
    """

    name: Name
    metric: Metric = Metric.NPS
    window: Annotated[str, AfterValidator(_window)] = Field(
        "30d", description="One of the store's windows; the score of its default policy is watched"
    )
    segments: tuple[Annotated[str, Field(max_length=400)], ...] = Field(
        ("",), description='As "country:NL"; "*": each that has a score; by default all customers together'
    )
    touchpoints: tuple[Annotated[str, Field(max_length=64)], ...] = Field(
        ("",), description='Of these touchpoints; "*": each; by default all together'
    )
    at_least_points: float = Field(5, ge=0, le=200, description="A smaller fall is not told")
    channels: tuple[Name, ...] | None = Field(None, description="Who is told; by default every channel")

    def for_domain(self) -> DomainScoreRule:
        return DomainScoreRule(
            self.name,
            metric=self.metric,
            window=self.window,
            length=parse_window(self.window),
            segments=frozenset(self.segments),
            touchpoints=frozenset(self.touchpoints),
            at_least_points=self.at_least_points,
            channels=self.channels,
        )


class SilenceRule(Strict):
    """Tells when no answers come where there usually are some, and when they are back.

    Every answer counts, also one that a visitor sends from a page.
    """

    name: Name
    touchpoints: tuple[Name, ...] = Field(
        (), description="Each is watched by itself; by default the store as a whole"
    )
    hours: int = Field(6, ge=1, le=168, description="No answer for so long")
    usual_at_least: float = Field(
        5, gt=0, description="Answers in the same hours of the four weeks before (their median)"
    )
    channels: tuple[Name, ...] | None = Field(None, description="Who is told; by default every channel")

    def for_domain(self) -> DomainSilenceRule:
        return DomainSilenceRule(self.name, self.touchpoints, self.hours, self.usual_at_least, self.channels)


class WatchSettings(Strict):
    """The parts of a store's `alerts` section that say what is watched, mixed into it."""

    score_rules: tuple[ScoreRule, ...] = Field((), description="Told when a score falls by more than noise")
    silence_rules: tuple[SilenceRule, ...] = Field((), description="Told when answers stop coming")

    def watch_policy_of(self, channels: Sequence[str]) -> WatchPolicy:
        """What is watched, in the words of the domain. `channels`: the names of those that are on."""
        return WatchPolicy(
            score_rules=tuple(rule.for_domain() for rule in self.score_rules),
            silence_rules=tuple(rule.for_domain() for rule in self.silence_rules),
            channels=tuple(channels),
        )

    def watch_faults(self, channels: Sequence[str]) -> Iterator[Fault]:
        """Names that are used twice, and channels that the section does not declare."""
        lists: tuple[tuple[str, tuple[ScoreRule | SilenceRule, ...]], ...] = (
            ("score_rules", self.score_rules),
            ("silence_rules", self.silence_rules),
        )
        for part, rules in lists:
            names = [rule.name for rule in rules]
            for place, name in enumerate(names):
                if name in names[:place]:
                    yield "is taken: every rule has a name of its own", (part, place, "name")
            for place, rule in enumerate(rules):
                yield from unknown_channels(rule.channels or (), channels, (part, place, "channels"))


def watch_mistakes(config: Config, store: str, settings: WatchSettings) -> Iterator[Mistake]:
    """Rules over scores that are never published, which would watch in silence for ever."""
    shop = config.stores[store]
    for place, rule in enumerate(settings.score_rules):
        at = ("stores", store, "alerts", "score_rules", place)
        if rule.window not in shop.windows:
            yield config.mistake(f"the store publishes {', '.join(shop.windows)} only", *at, "window")
        for index, segment in enumerate(rule.segments):
            names = [part.partition(":")[0] for part in segment.split(",") if part != EACH and part]
            unknown = [name for name in names if name not in {*shop.segments, TIER}]
            if unknown:
                yield config.mistake(f"{unknown[0]} is not a segment of the store", *at, "segments", index)
        for index, touchpoint in enumerate(rule.touchpoints):
            if touchpoint not in {"", EACH, *shop.touchpoints}:
                text = f"{touchpoint} is not a touchpoint of the store that has scores"
                yield config.mistake(text, *at, "touchpoints", index)
