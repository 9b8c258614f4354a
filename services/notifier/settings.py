"""What the notifier is told by its environment, and a store's `alerts` section of closeloop.yaml."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import SettingsConfigDict

from services.notifier.cases.domain.clocks import BusinessHours, ClockKind
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.domain.rules import DEFAULT_RULE, Assign
from services.notifier.cases.domain.rules import Rule as DomainRule
from services.notifier.cases.settings import Cause, Reply, Rule, Step, Team, When
from services.notifier.deliveries.settings import Channel, Kind, SendingSettings
from services.notifier.watch.settings import Watching, watch_mistakes
from shared.config import Config, ConfigError, Store
from shared.config.loading import Mistake
from shared.config.stores import Name

__all__ = [
    "Alerts",
    "Channel",
    "Kind",
    "NotifierSettings",
    "Reply",
    "Rule",
    "Step",
    "Team",
    "When",
    "alerts_of",
    "mistakes_across",
]


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


class Alerts(Watching):
    """The `alerts` section. A low answer that no rule matches is taken by the built-in rule `default`."""

    channels: dict[Name, Channel] = Field({}, description="Where alerts go, by name")
    rules: tuple[Rule, ...] = Field((), description="The first one that matches an answer wins")
    teams: dict[Name, Team] = Field({}, description="Who works the cases, by name")
    escalation: tuple[Step, ...] = Field((), description="What happens to a case that waits too long")
    root_causes: tuple[Cause, ...] = Field((), description="Offered when a case is resolved")
    replies: tuple[Reply, ...] = Field((), description="Templates of what to write to a customer")
    reopen_days: float = Field(
        30, ge=0, description="A low answer this soon after closing opens the same case again"
    )
    _store: Store | None = PrivateAttr(None)

    def of_store(self, store: Store) -> Self:
        """The same section, knowing the name, the hours and the zone of its store."""
        known = self.model_copy()
        known._store = store
        return known

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        faults = [
            *_taken("rules", [rule.name for rule in self.rules], DEFAULT_RULE.name),
            *_taken("escalation", [step.name for step in self.escalation]),
            *_taken("replies", [reply.name for reply in self.replies]),
            *_unknown_channels("rules", self.rules, self.channels),
            *_unknown_channels("escalation", self.escalation, self.channels),
            *(_fault(what, *at) for what, at in self.watching_faults(tuple(self.channels))),
        ]
        for place, rule in enumerate(self.rules):
            if rule.team is not None and rule.team not in self.teams:
                text = f"{rule.team} is not a team of this store {_declared(self.teams)}"
                faults.append(_fault(text, "rules", place, "team"))
        for name, team in self.teams.items():
            if team.assign is not Assign.NONE and not team.members:
                faults.append(_fault("cannot be done without members", "teams", name, "assign"))
        if faults:
            raise ValidationError.from_exception_data("Alerts", faults)
        return self

    @property
    def domain_rules(self) -> tuple[DomainRule, ...]:
        return tuple(rule.for_domain() for rule in self.rules)

    @property
    def policy(self) -> Policy:
        """What the section says of cases, in the words of the domain."""
        opening = self._store.business_hours if self._store else None
        zone = self._store.zone if self._store else ZoneInfo("UTC")
        return Policy(
            rules=self.domain_rules,
            steps=tuple(step.for_domain() for step in self.escalation),
            teams={name: team.for_domain(name) for name, team in self.teams.items()},
            channels=tuple(self.targets),
            reopens_within=timedelta(days=self.reopen_days),
            hours=BusinessHours(zone, opening.week, opening.holidays) if opening else None,
            zone=zone,
        )

    @property
    def store_name(self) -> str:
        """As people know it; empty for a section that was not told its store."""
        return self._store.name if self._store else ""

    @property
    def targets(self) -> dict[str, Channel]:
        """The channels that are on."""
        return {name: channel for name, channel in self.channels.items() if channel.on}


def _taken(part: str, names: Sequence[str], *more: str) -> list[InitErrorDetails]:
    return [
        _fault(f"{name} is taken: each has a name of its own", part, place, "name")
        for place, name in enumerate(names)
        if name in more or name in names[:place]
    ]


def _unknown_channels(
    part: str, entries: Sequence[Rule | Step], declared: Iterable[str]
) -> list[InitErrorDetails]:
    return [
        _fault(f"{name} is not a channel of this store {_declared(declared)}", part, place, "channels", index)
        for place, entry in enumerate(entries)
        for index, name in enumerate(entry.channels or ())
        if name not in declared
    ]


def _declared(names: Iterable[str]) -> str:
    return f"(declared: {', '.join(names) or 'none is'})"


def _fault(text: str, *place: str | int) -> InitErrorDetails:
    """A mistake at its own place, so that its line is named and not that of the section."""
    return InitErrorDetails(
        type=PydanticCustomError("alerts", "{what}", {"what": text}), loc=place, input=None
    )


def mistakes_across(config: Config, store: str, alerts: Alerts) -> list[Mistake]:
    """What does not fit the store's other sections: tiers that it has not, a clock without its hours."""
    known = config.stores[store]
    tiers = [str(tier.get("name")) for tier in known.loyalty.get("tiers") or () if isinstance(tier, dict)]
    found = list(watch_mistakes(config, store, alerts))
    for place, rule in enumerate(alerts.rules):
        at = ("stores", store, "alerts", "rules", place)
        for index, tier in enumerate(rule.when.tiers):
            if tiers and tier not in tiers:
                text = f"{tier} is not a tier of this store {_declared(tiers)}"
                found.append(config.mistake(text, *at, "when", "tiers", index))
        if rule.clock is ClockKind.BUSINESS and known.business_hours is None:
            found.append(config.mistake("the store has no business_hours", *at, "clock"))
    return found


def alerts_of(config: Config) -> dict[str, Alerts]:
    """The `alerts` section of every store. Raises ConfigError with the line of each mistake."""
    sections = {
        name: config.section(name, "alerts", Alerts).of_store(store) for name, store in config.stores.items()
    }
    mistakes = [fault for name, alerts in sections.items() for fault in mistakes_across(config, name, alerts)]
    if mistakes:
        raise ConfigError(config.path, mistakes)
    return sections
