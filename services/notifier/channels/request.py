"""One HTTP request, complete."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.notifier.channels.message import Message


@dataclass(frozen=True, slots=True)
class Request:
    headers: Mapping[str, str]
    body: bytes


Build = Callable[[Message, datetime], Request]
"""The request of a message at this moment. Raises Unbuildable when there can be none."""


class Unbuildable(Exception):
    """This message cannot be given this channel's form. The text says why, without the customer's words."""
