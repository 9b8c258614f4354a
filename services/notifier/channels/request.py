"""One HTTP request, complete."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.notifier.channels.message import Message
from services.notifier.settings import Channel


@dataclass(frozen=True, slots=True)
class Request:
    headers: Mapping[str, str]
    body: bytes


Build = Callable[[Message, Channel, datetime], Request]
"""The request of a message to a channel, at this moment."""
