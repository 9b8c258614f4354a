"""Mistakes of channels that their section of closeloop.yaml alone does not show."""

from collections.abc import Iterator, Mapping

from services.notifier.channels.outlets import prove_template
from services.notifier.channels.templates import TemplateMistake
from services.notifier.deliveries.settings import Kind, SendingSettings
from services.notifier.settings import Alerts
from shared.config import Config
from shared.config.loading import Mistake


def template_mistakes(config: Config, store: str, alerts: Alerts) -> Iterator[Mistake]:
    """Templates that are not there, are not Jinja, or do not make JSON of every sample.

    A channel that is off may name one that is not there, so that the example file can be copied alone.
    """
    for name, channel in alerts.channels.items():
        if channel.template and not channel.on and not (config.path.parent / channel.template).exists():
            continue
        try:
            prove_template(channel, config.path.parent)
        except TemplateMistake as error:
            yield config.mistake(str(error), "stores", store, "alerts", "channels", name, "template")


def mail_mistakes(
    config: Config, alerts: Mapping[str, Alerts], settings: SendingSettings
) -> Iterator[Mistake]:
    """E-mail channels that are on while the environment names no mail server."""
    for store, section in alerts.items():
        for name, channel in section.targets.items():
            if channel.kind is Kind.EMAIL and not settings.smtp_host:
                what = "sends e-mail, and NOTIFIER_SMTP_HOST is not set"
                yield config.mistake(what, "stores", store, "alerts", "channels", name)
