"""The alerts of a case: where each went, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.notifier.deliveries.settings import Channel
from services.notifier.deliveries.store import Delivery, State
from services.notifier.inbox.looks import Badge
from services.notifier.web.phrases import CHANNEL_SIGNS, channel_words
from shared.pages.wording import Here, when

_DELIVERY_LOOKS = {
    State.SENT: Badge("Delivered", "ok", "check"),
    State.DEAD: Badge("Dead", "danger", "x"),
    State.CANCELLED: Badge("Called off", "line", "x"),
    State.DIGESTED: Badge("In a digest", "ok", "check"),
}


@dataclass(frozen=True, slots=True)
class DeliveryShown:
    delivery_id: str
    name: str
    sign: str
    line: str
    look: Badge
    dead: bool


def delivery_shown(delivery: Delivery, channels: Mapping[str, Channel], here: Here) -> DeliveryShown:
    kind, name = channel_words(delivery.channel, channels)
    error = delivery.last_error or (f"status {delivery.last_status}" if delivery.last_status else "")
    line, look = "", _DELIVERY_LOOKS.get(delivery.state, Badge("Waiting", "", "clock"))
    if delivery.settled_at:
        line = when(delivery.settled_at, here)
    if delivery.state is State.DEAD:
        line = f"Gave up after {delivery.attempt} tries. {error}"
    if delivery.state is State.PENDING:
        line = f"Next try {when(delivery.next_at, here)}"
        if delivery.attempt and error:
            look = Badge("Retrying", "warn", "refresh")
            line = f"Try {delivery.attempt}, next {when(delivery.next_at, here)}. {error}"
    return DeliveryShown(
        delivery.delivery_id, name, CHANNEL_SIGNS[kind], line, look, delivery.state is State.DEAD
    )
