"""The channels of a store, and what the environment says of sending alerts."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, model_validator

from services.notifier.deliveries.retries import QuietHours
from shared.config.stores import Name, Strict
from shared.ops.settings import ListenSettings

DIGEST_AFTER = 20


class MailSecurity(StrEnum):
    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class SendingSettings(ListenSettings):
    """What the notifier is told of sending; a part of its settings, with their prefix."""

    allow_private_targets: bool = Field(
        False,
        validation_alias=AliasChoices("NOTIFIER_ALLOW_PRIVATE_TARGETS", "CLOSELOOP_ALLOW_PRIVATE_TARGETS"),
        description="Whether alerts may go to plain http and private addresses; for a trial on one machine",
    )
    target_ports: str = Field(
        "443", pattern=r"^\d{1,5}(,\d{1,5})*$", description="Ports that webhooks may go to, with commas"
    )
    ca_file: Path | None = Field(
        None, description="Certificate authorities to trust beside the public ones, as PEM"
    )
    sends_per_target: int = Field(
        32, ge=1, le=1000, description="Alerts on their way at once to one channel of one store"
    )
    connect_timeout_seconds: float = Field(5, gt=0, description="How long a receiver may take to accept")
    send_timeout_seconds: float = Field(15, gt=0, description="How long one attempt may take in all")
    lease_seconds: float = Field(
        60, gt=0, description="How long a claimed delivery is ours; longer than an attempt may take"
    )
    retry_scale: float = Field(
        1, gt=0, le=1, description="Shortens the waits between attempts and of the breaker; for tests"
    )
    smtp_host: str = Field("", description="The mail server that e-mail channels send by; the operator's own")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port: 587 for starttls, 465 for tls")
    smtp_tls: MailSecurity = Field(
        MailSecurity.STARTTLS, description="starttls, tls or none; certificates are always verified"
    )
    smtp_username: str = Field("", description="Empty: no sign-in")
    smtp_password: SecretStr = Field(SecretStr(""), description="Of the mail account")
    smtp_from: str = Field("", description="The sender: care@example.com, or Care <care@example.com>")
    smtp_connections: int = Field(4, ge=1, le=100, description="E-mails on their way at once, by channel")

    @model_validator(mode="after")
    def _lease_outlives_an_attempt(self) -> Self:
        if self.lease_seconds < self.send_timeout_seconds + 5:
            raise ValueError("lease_seconds must exceed send_timeout_seconds by 5 s or more")
        if self.smtp_host and not self.smtp_from:
            raise ValueError("smtp_from is missing: e-mail needs a sender")
        return self

    @property
    def ports(self) -> frozenset[int]:
        return frozenset(int(port) for port in self.target_ports.split(","))


class ChannelKind(StrEnum):
    WEBHOOK = "webhook"
    SLACK = "slack"
    EMAIL = "email"


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


def is_mailbox(text: str) -> bool:
    """Whether mail can be addressed to it as it stands: one plain address, nothing that needs quoting."""
    name, at, host = text.rpartition("@")
    plain = text.isascii() and text.isprintable() and len(text) <= 254
    return bool(plain and at and name and host) and not set(text) & set(' ,;:<>()[]"\\') and "@" not in name


def _mailbox(text: str) -> str:
    if text and not is_mailbox(text):
        raise ValueError("is not an e-mail address such as care@example.com")
    return text


def _quiet(text: object) -> object:
    return QuietHours.parse(text) if isinstance(text, str) else text


class Channel(Strict):
    """Where alerts go. Without an address the channel is off: no deliveries are made for it."""

    kind: ChannelKind = Field(
        description="webhook: JSON, signed by Standard Webhooks; slack: an incoming webhook of Slack; email"
    )
    url: Annotated[str, AfterValidator(_address)] = Field("", description="Empty: the channel is off")
    secret: Annotated[SecretStr, AfterValidator(_signing_secret)] = Field(
        SecretStr(""), description="Signs a webhook: `whsec_…`, from the environment"
    )
    template: Path | None = Field(
        None, description="Jinja template of a webhook's body, beside closeloop.yaml unless absolute"
    )
    values: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")], SecretStr] = Field(
        {}, description="What the template calls `values`, from the environment"
    )
    to: tuple[Annotated[str, AfterValidator(_mailbox)], ...] = Field(
        (), description="Who gets the e-mail; empty ones count as absent"
    )
    to_owner: bool = Field(False, description="Whether the case's owner gets the e-mail as well")
    quiet_hours: Annotated[QuietHours | None, BeforeValidator(_quiet)] = Field(
        None, description="`22:00-07:00` in the store's zone: what is due then waits for the end"
    )
    quiet_urgent: bool = Field(False, description="Whether urgent alerts wait for the end of them as well")
    digest_after: int | None = Field(
        None,
        ge=0,
        description=f"So many alerts in ten minutes come singly, the rest in one digest; 0: no digests. "
        "Those of verified customers are counted apart from those of claimed ones. By "
        f"default {DIGEST_AFTER}, and 0 for a signed webhook without a template, which a program reads",
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind is ChannelKind.EMAIL and self.url:
            raise ValueError("an e-mail channel has `to`, not `url`")
        if self.kind is not ChannelKind.EMAIL and (self.to or self.to_owner):
            raise ValueError("`to` and `to_owner` are for e-mail channels")
        if self.kind is not ChannelKind.WEBHOOK and (self.template or self.values):
            raise ValueError("`template` and `values` are for webhooks")
        unsigned = self.kind is ChannelKind.WEBHOOK and not self.secret.get_secret_value()
        if unsigned and self.url and not self.template:
            raise ValueError("a webhook needs a secret to be signed with")
        return self

    @property
    def on(self) -> bool:
        return bool(self.url or self.mailboxes or self.to_owner)

    @property
    def mailboxes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(address for address in self.to if address))

    @property
    def single_alerts(self) -> int:
        """How many alerts in ten minutes come singly; 0: all of them."""
        if self.digest_after is not None:
            return self.digest_after
        return 0 if self.kind is ChannelKind.WEBHOOK and self.template is None else DIGEST_AFTER


StoreChannels = Mapping[str, Mapping[str, Channel]]
"""By store, its channels by name."""


class ChannelSettings(Strict):
    """The part of a store's `alerts` section that names its channels, mixed into it."""

    channels: dict[Name, Channel] = Field({}, description="Where alerts go, by name")

    @property
    def targets(self) -> dict[str, Channel]:
        """The channels that are on."""
        return {name: channel for name, channel in self.channels.items() if channel.on}


Fault = tuple[str, tuple[str | int, ...]]
"""What is wrong in a section, and the place in it."""


def unknown_channels(
    names: Iterable[str], channels: Iterable[str], place: tuple[str | int, ...]
) -> Iterator[Fault]:
    """A fault for each of these names that is no channel of the store."""
    for index, name in enumerate(names):
        if name not in channels:
            yield f"{name} is not a channel of this store {declared(channels)}", (*place, index)


def declared(names: Iterable[str]) -> str:
    """The names that would have been right, for the end of a fault."""
    return f"(declared: {', '.join(names) or 'none is'})"
