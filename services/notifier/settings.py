"""The environment of the notifier, and a store's `alerts` section: the sections of its features in one."""

from typing import Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import SettingsConfigDict

from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.settings import CaseSettings, case_mistakes
from services.notifier.deliveries.settings import ChannelSettings, Fault, SendingSettings
from services.notifier.report.settings import ReportSettings
from services.notifier.watch.domain import WatchPolicy
from services.notifier.watch.settings import WatchSettings, watch_mistakes
from shared.config import Config, ConfigError, Store
from shared.config.loading import Mistake


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


class Alerts(ReportSettings, WatchSettings, CaseSettings, ChannelSettings):
    """The `alerts` section of a store. Only the composition root reads it; each feature gets its own part."""

    _store: Store | None = PrivateAttr(None)

    def of_store(self, store: Store) -> Self:
        """The same section, knowing the name, the hours and the zone of its store."""
        section = self.model_copy()
        section._store = store  # noqa: SLF001 - a copy of itself
        return section

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = tuple(self.channels)
        faults = [
            *self.case_faults(names),
            *self.watch_faults(names),
            *self.report_faults(names),
            *self.team_faults(),
        ]
        if faults:
            raise ValidationError.from_exception_data("Alerts", [_detail(fault) for fault in faults])
        return self

    @property
    def policy(self) -> Policy:
        """What the section says of cases, in the words of the domain."""
        return self.policy_of(self._store, tuple(self.targets))

    @property
    def watch_policy(self) -> WatchPolicy:
        """What the section says of watching, in the words of the domain."""
        return self.watch_policy_of(tuple(self.targets))

    @property
    def weekly_channels(self) -> tuple[str, ...]:
        """The channels that get the weekly report and are on."""
        return tuple(name for name in self.weekly_report.channels if name in self.targets)


def _detail(fault: Fault) -> InitErrorDetails:
    """A mistake at its own place, so that its line is named and not that of the section."""
    text, place = fault
    return InitErrorDetails(
        type=PydanticCustomError("alerts", "{what}", {"what": text}), loc=place, input=None
    )


def mistakes_across(config: Config, store: str, alerts: Alerts) -> list[Mistake]:
    """What does not fit the store's other sections."""
    return [*watch_mistakes(config, store, alerts), *case_mistakes(config, store, alerts)]


def alerts_of(config: Config) -> dict[str, Alerts]:
    """The `alerts` section of every store. Raises ConfigError with the line of each mistake."""
    sections = {
        name: config.section(name, "alerts", Alerts).of_store(store) for name, store in config.stores.items()
    }
    mistakes = [fault for name, alerts in sections.items() for fault in mistakes_across(config, name, alerts)]
    if mistakes:
        raise ConfigError(config.path, mistakes)
    return sections
