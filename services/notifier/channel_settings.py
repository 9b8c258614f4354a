"""Where a store's alerts may go, and what the environment says of sending them."""

import base64
import binascii
from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, model_validator

from shared.config.stores import Strict
from shared.ops.settings import ListenSettings


class SendingSettings(ListenSettings):
    """What the notifier is told of sending; a part of its settings, with their prefix."""

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
