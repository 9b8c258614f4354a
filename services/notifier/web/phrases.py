"""Words for channels and hours."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from services.notifier.deliveries.settings import Channel, Kind
from shared.pages.wording import span

CHANNEL_SIGNS = {Kind.SLACK: "hash", Kind.EMAIL: "mail", Kind.WEBHOOK: "hook"}
_KIND_NAMES = {Kind.SLACK: "Slack", Kind.EMAIL: "E-mail", Kind.WEBHOOK: "Webhook"}


def channel_words(name: str, channels: Mapping[str, Channel]) -> tuple[Kind, str]:
    """What kind a channel is, and what people call it; one that is gone looks like a webhook."""
    channel = channels.get(name)
    kind = channel.kind if channel else Kind.WEBHOOK
    return kind, f"{_KIND_NAMES[kind]} {name}"


def hours_text(hours: float, *, business: bool) -> str:
    """`4 working hours`, `1 hour`, `30 minutes`."""
    kind = "working " if business else ""
    if hours < 1:
        return f"{round(hours * 60)} {kind}minutes"
    number = f"{hours:g}"
    return f"{number} {kind}{'hour' if number == '1' else 'hours'}"


def amount(value: Decimal) -> str:
    """`1,200`, `59.90`; as many decimals as it came with where two are too few."""
    if value == value.to_integral_value():
        return f"{value:,.0f}"
    places = max(2, -int(value.normalize().as_tuple().exponent))
    return f"{value:,.{places}f}"


def seconds(took: float) -> str:
    return f"{max(took, 0):.1f} s" if took < 60 else span(took)
