"""CloudEvents 1.0 in Kafka's binary mode: attributes as headers, the fact as the value."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import orjson
from uuid_utils import uuid7

if TYPE_CHECKING:
    from shared.events.model import Event

Headers = list[tuple[str, bytes]]


class NotAnEvent(ValueError):
    """A record that is not a valid event. `reason` is a short code, safe to store and to count."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


def new_id() -> str:
    """A UUIDv7: ids of one producer sort by the time they were made."""
    return str(uuid7())


def new_traceparent() -> str:
    """A W3C trace context for work that starts here."""
    text = f"{random.getrandbits(192):048x}"  # no secret, and no system call
    return f"00-{text[:32]}-{text[32:]}-01"


def trace_id(traceparent: str) -> str:
    """The trace id in a traceparent, the same from the POST to the alert; empty if it has none."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


class Envelope(NamedTuple):
    """The attributes of an event: its id, type, source, time and trace context."""

    id: str
    type: str
    source: str
    time: str
    traceparent: str

    @classmethod
    def of(cls, event_type: str, *, source: str, traceparent: str = "", event_id: str = "") -> "Envelope":
        """A new envelope with the time of now. An outbox passes the `event_id` that it has stored."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return cls(event_id or new_id(), event_type, source, now, traceparent or new_traceparent())

    @property
    def correlation_id(self) -> str:
        """The trace id, or the event's id if there is none."""
        return trace_id(self.traceparent) or self.id

    def headers(self) -> Headers:
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.id.encode()),
            ("ce_type", self.type.encode()),
            ("ce_source", self.source.encode()),
            ("ce_time", self.time.encode()),
            ("content-type", b"application/json"),
            ("traceparent", self.traceparent.encode()),
        ]

    @classmethod
    def read(cls, headers: Iterable[tuple[str, bytes | None]]) -> "Envelope":
        """Read the headers of a record. Raises NotAnEvent when the id or the type is missing."""
        contents = dict(headers)
        try:
            envelope = cls(*[(contents.get(name) or b"").decode() for name in _ATTRIBUTES])
        except UnicodeDecodeError as error:
            raise NotAnEvent("headers_not_utf8") from error
        if not envelope.id or not envelope.type:
            raise NotAnEvent("no_envelope", "ce_id or ce_type is missing")
        return envelope


_ATTRIBUTES = ("ce_id", "ce_type", "ce_source", "ce_time", "traceparent")
"""The headers that an envelope is read from, in the order of its fields."""


class Stamp:
    """Makes the headers of one type of event from one source, where an `Envelope` for each costs too much."""

    def __init__(self, event_type: str, *, source: str) -> None:
        self._fixed: Headers = [
            ("ce_specversion", b"1.0"),
            ("ce_type", event_type.encode()),
            ("ce_source", source.encode()),
            ("content-type", b"application/json"),
        ]

    def headers(self, now: datetime, traceparent: bytes) -> Headers:
        """`now` is in UTC."""
        return [
            *self._fixed,
            ("ce_id", new_id().encode()),
            ("ce_time", orjson.dumps(now, option=orjson.OPT_UTC_Z)[1:-1]),
            ("traceparent", traceparent),
        ]


class Received(NamedTuple):
    """An event as a consumer sees it: the fact, its envelope, its JSON as sent, and its place in the log."""

    event: "Event"
    envelope: Envelope
    topic: str
    partition: int
    offset: int
    raw: bytes
