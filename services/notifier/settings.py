"""What the notifier is told by its environment, and a store's `alerts` section of closeloop.yaml."""

import base64
import binascii
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import SettingsConfigDict

from services.notifier.domain import DEFAULT_RULE, Conditions, Priority
from services.notifier.domain import Rule as DomainRule
from shared.config.stores import Name, Strict
from shared.feedback.metrics import Metric
from shared.ops.settings import ListenSettings


class NotifierSettings(ListenSettings):
    """Prefix NOTIFIER_."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix="NOTIFIER_", populate_by_name=True
    )

    port: int = Field(8004, ge=1, le=65535, description="Port to listen on")
    batch_records: int = Field(500, ge=1, le=5000, description="Events applied in one transaction, at most")
    public_url: str = Field("", description="Where people reach this service; links in alerts start with it")
    allow_private_targets: bool = Field(
        False,
        validation_alias=AliasChoices("NOTIFIER_ALLOW_PRIVATE_TARGETS", "CLOSELOOP_ALLOW_PRIVATE_TARGETS"),
        description="Whether alerts may go to plain http and private addresses; for a trial on one machine",
    )
    sends_in_flight: int = Field(128, ge=1, le=1000, description="Alerts on their way at once")
    sends_per_target: int = Field(32, ge=1, le=1000, description="Of these to one channel of one store")
    connect_timeout_seconds: float = Field(5, gt=0, description="How long a receiver may take to accept")
    send_timeout_seconds: float = Field(15, gt=0, description="How long one attempt may take in all")
    lease_seconds: float = Field(
        60, gt=0, description="How long a claimed delivery is ours; longer than an attempt may take"
    )
    retry_scale: float = Field(
        1, gt=0, le=1, description="Shortens the waits between attempts and of the breaker; for tests"
    )

    @model_validator(mode="after")
    def _lease_outlives_an_attempt(self) -> Self:
        if self.lease_seconds < self.send_timeout_seconds + 5:
            raise ValueError("lease_seconds must exceed send_timeout_seconds by 5 s or more")
        return self

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"


class Kind(StrEnum):
    WEBHOOK = "webhook"
    SLACK = "slack"


def _address(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None):
        raise ValueError("is not an address such as https://example.com/path")
    return url


def _signing_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text:
        try:
            size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
        except binascii.Error:
            size = 0
        if not text.startswith("whsec_") or not 24 <= size <= 64:
            raise ValueError("is not `whsec_` and the base64 of 24 to 64 bytes")
    return secret


class Channel(Strict):
    """Where alerts go. Without an address the channel is off: no deliveries are made for it."""

    kind: Kind = Field(description="webhook: Standard Webhooks, signed; slack: an incoming webhook of Slack")
    url: Annotated[str, AfterValidator(_address)] = Field("", description="Empty: the channel is off")
    secret: Annotated[SecretStr, AfterValidator(_signing_secret)] = Field(
        SecretStr(""), description="Signs a webhook: `whsec_…`, from the environment"
    )

    @model_validator(mode="after")
    def _webhooks_are_signed(self) -> Self:
        if self.kind is Kind.WEBHOOK and self.url and not self.secret.get_secret_value():
            raise ValueError("a webhook needs a secret to be signed with")
        return self

    @property
    def on(self) -> bool:
        return bool(self.url)


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


class Alerts(Strict):
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
