"""The outlets: each channel of a store, ready to send with connections of its own, and checked at boot."""

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import certifi

from services.notifier.channels import slack, webhook
from services.notifier.channels.http import (
    Attempt,
    Build,
    HttpLimits,
    HttpOutlet,
    HttpSender,
    Resolve,
    Resolver,
)
from services.notifier.channels.mail import MailOutlet
from services.notifier.channels.message import Message
from services.notifier.channels.webhook import BodyTemplate, TemplateMistake, samples
from services.notifier.deliveries.settings import (
    Channel,
    ChannelKind,
    SendingSettings,
    StoreChannels,
)
from services.notifier.deliveries.store import Target
from shared.config import Config
from shared.config.loading import Mistake


class Outlet(Protocol):
    """A channel that is ready to send. `most`: how many attempts it can make at once."""

    most: int

    async def send(self, message: Message, now: datetime) -> Attempt:
        """One attempt. Never raises for what a receiver does, nor for a message that cannot be built."""

    async def close(self) -> None: ...


class Outlets(Mapping[Target, Outlet]):
    """The outlets of all channels that are on. Use it as `async with outlets:`."""

    def __init__(
        self,
        channels: Mapping[Target, Channel],
        settings: SendingSettings,
        folder: Path,
        resolve: Resolve | None = None,
    ) -> None:
        """`folder`: where templates are looked for. Raises TemplateMistake."""
        self._resolver = Resolver()
        tls = _trust(settings.ca_file)
        limits = HttpLimits(
            connections=settings.sends_per_target,
            connect_seconds=settings.connect_timeout_seconds,
            total_seconds=settings.send_timeout_seconds,
            allow_private=settings.allow_private_targets,
            ports=settings.ports,
            tls=tls,
            resolve=resolve or self._resolver,
        )
        self._outlets: dict[Target, Outlet] = {}
        for target, channel in channels.items():
            if channel.kind is ChannelKind.EMAIL:
                self._outlets[target] = MailOutlet(channel, settings, tls)
            else:
                build = slack.build if channel.kind is ChannelKind.SLACK else _webhook(channel, folder)
                self._outlets[target] = HttpOutlet(build, HttpSender(channel.url, limits), limits.connections)

    def __getitem__(self, target: Target) -> Outlet:
        return self._outlets[target]

    def __iter__(self) -> Iterator[Target]:
        return iter(self._outlets)

    def __len__(self) -> int:
        return len(self._outlets)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(outlet.close() for outlet in self._outlets.values()))
        self._resolver.close()


def proved_template(channel: Channel, folder: Path) -> BodyTemplate | None:
    """The channel's template once it made JSON of every sample. Raises TemplateMistake."""
    if channel.template is None:
        return None
    template = BodyTemplate(folder / channel.template, str(channel.template))
    template.prove(samples(), {name: value.get_secret_value() for name, value in channel.values.items()})
    return template


def _webhook(channel: Channel, folder: Path) -> Build:
    return webhook.request_builder(channel, proved_template(channel, folder))


def _trust(extra: Path | None) -> ssl.SSLContext:
    """The public certificate authorities, and the operator's own."""
    context = ssl.create_default_context(cafile=certifi.where())
    if extra is not None:
        context.load_verify_locations(cafile=extra)
    return context


def template_mistakes(config: Config, store: str, channels: Mapping[str, Channel]) -> Iterator[Mistake]:
    """Templates that are not there, are not Jinja, or do not make JSON of every sample.

    A channel that is off may name one that is not there, so that the example file can be copied alone.
    """
    for name, channel in channels.items():
        if channel.template and not channel.on and not (config.path.parent / channel.template).exists():
            continue
        try:
            proved_template(channel, config.path.parent)
        except TemplateMistake as error:
            yield config.mistake(str(error), "stores", store, "alerts", "channels", name, "template")


def mail_mistakes(config: Config, channels: StoreChannels, settings: SendingSettings) -> Iterator[Mistake]:
    """E-mail channels that are on while the environment names no mail server."""
    for store, store_channels in channels.items():
        for name, channel in store_channels.items():
            if channel.on and channel.kind is ChannelKind.EMAIL and not settings.smtp_host:
                text = "sends e-mail, and NOTIFIER_SMTP_HOST is not set"
                yield config.mistake(text, "stores", store, "alerts", "channels", name)
