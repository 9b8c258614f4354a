"""What the notifier is told by its environment, and a store's `alerts` section of closeloop.yaml."""

from decimal import Decimal
from typing import Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import SettingsConfigDict

from services.notifier.channel_settings import Channel, Kind, SendingSettings
from services.notifier.domain import DEFAULT_RULE, Conditions, Priority
from services.notifier.domain import Rule as DomainRule
from services.notifier.watch_settings import Watching
from shared.config.stores import Name, Strict
from shared.feedback.metrics import Metric

__all__ = ["Alerts", "Channel", "Kind", "NotifierSettings", "Rule", "When"]


class NotifierSettings(SendingSettings):
    """Prefix NOTIFIER_."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix="NOTIFIER_", populate_by_name=True
    )

    port: int = Field(8004, ge=1, le=65535, description="Port to listen on")
    batch_records: int = Field(500, ge=1, le=5000, description="Events applied in one transaction, at most")
    public_url: str = Field("", description="Where people reach this service; links in alerts start with it")

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"


class When(Strict):
    """Conditions of a rule; all that are given must hold."""

    metric: Metric | None = Field(None, description="nps, csat, ces or enps")
    min_score: int | None = Field(None, description="The score is this or higher")
    max_score: int | None = Field(None, description="The score is this or lower")
    tiers: tuple[str, ...] = Field((), description="The customer's loyalty tier is one of these")
    touchpoints: tuple[Name, ...] = Field((), description="The answer was asked for at one of these")
    answer_channels: tuple[str, ...] = Field((), description="The answer came by one of these")
    order_value_at_least: Decimal | None = Field(None, description="In the store's currency")


class Rule(Strict):
    """What happens to a low answer that matches."""

    name: Name
    when: When = When()
    priority: Priority = Priority.NORMAL
    first_contact_hours: float = Field(
        DEFAULT_RULE.first_contact_hours, gt=0, le=8760, description="Until somebody must have called"
    )
    resolve_hours: float = Field(
        DEFAULT_RULE.resolve_hours, gt=0, le=8760, description="Until it must be resolved"
    )
    channels: tuple[Name, ...] | None = Field(None, description="Who is told; by default every channel")

    def for_domain(self) -> DomainRule:
        return DomainRule(
            self.name,
            Conditions(
                metric=self.when.metric,
                min_score=self.when.min_score,
                max_score=self.when.max_score,
                tiers=frozenset(self.when.tiers),
                touchpoints=frozenset(self.when.touchpoints),
                answer_channels=frozenset(self.when.answer_channels),
                order_value_at_least=self.when.order_value_at_least,
            ),
            self.priority,
            self.first_contact_hours,
            self.resolve_hours,
            self.channels,
        )


class Alerts(Watching):
    """The `alerts` section. A low answer that no rule matches is taken by the built-in rule `default`."""

    channels: dict[Name, Channel] = Field({}, description="Where alerts go, by name")
    rules: tuple[Rule, ...] = Field((), description="The first one that matches a low answer wins")
    reopen_days: float = Field(
        30, ge=0, description="A low answer this soon after closing opens the same case again"
    )

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        faults: list[InitErrorDetails] = []
        seen = {DEFAULT_RULE.name}
        for place, rule in enumerate(self.rules):
            if rule.name in seen:
                faults.append(_fault("is taken: every rule has a name of its own", place, "name"))
            seen.add(rule.name)
            for index, channel in enumerate(rule.channels or ()):
                if channel not in self.channels:
                    declared = ", ".join(self.channels) or "none is"
                    text = f"{channel} is not a channel of this store (declared: {declared})"
                    faults.append(_fault(text, place, "channels", index))
        faults += [
            InitErrorDetails(type=PydanticCustomError("alerts", "{what}", {"what": what}), loc=at, input=None)
            for what, at in self.watching_faults(tuple(self.channels))
        ]
        if faults:
            raise ValidationError.from_exception_data("Alerts", faults)
        return self

    @property
    def domain_rules(self) -> tuple[DomainRule, ...]:
        return tuple(rule.for_domain() for rule in self.rules)

    @property
    def targets(self) -> dict[str, Channel]:
        """The channels that are on."""
        return {name: channel for name, channel in self.channels.items() if channel.on}


def _fault(text: str, *place: str | int) -> InitErrorDetails:
    """A mistake at its own place, so that its line is named and not that of the section."""
    shown = text.replace("{", "{{").replace("}", "}}")
    return InitErrorDetails(
        type=PydanticCustomError("alerts", shown),
        loc=("rules", *place),
        input=None,
    )
