"""All event types, and how a record becomes an event and an event a record."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from shared.events.cases import CaseChanged, CaseClosed, CaseOpened
from shared.events.customers import CustomerChanged
from shared.events.envelope import Envelope, Headers, NotAnEvent
from shared.events.erasures import CustomerErased
from shared.events.model import Event, Part
from shared.events.orders import EngagementRecorded, OrderDelivered, OrderPlaced, OrderRefunded
from shared.events.responses import ResponseAmended, ResponseRetracted, ResponseSubmitted, SurveySent
from shared.events.scores import ScoreChanged

_ALL: tuple[type[Event], ...] = (
    ResponseSubmitted,
    ResponseAmended,
    ResponseRetracted,
    SurveySent,
    OrderPlaced,
    OrderDelivered,
    OrderRefunded,
    EngagementRecorded,
    CustomerChanged,
    ScoreChanged,
    CaseOpened,
    CaseChanged,
    CaseClosed,
    CustomerErased,
)

EVENTS: dict[str, type[Event]] = {event.type: event for event in _ALL}


def encode(
    event: Event, *, source: str, traceparent: str = "", event_id: str = ""
) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of the record that carries this event."""
    envelope = Envelope.of(event.type, source=source, traceparent=traceparent, event_id=event_id)
    return event.key(), event.body(), envelope.headers()


def decode(
    headers: Iterable[tuple[str, bytes | None]], value: bytes | None, *, topic: str
) -> tuple[Event | None, Envelope]:
    """The event in a record, and its envelope.

    The event is None when its type is newer than this code, because consumers are updated first. It is None
    too for a record without a value on a compacted topic, which only removes the key there. Raises NotAnEvent
    for anything that no version of our producers would send.
    """
    envelope = Envelope.read(headers)
    model = EVENTS.get(envelope.type)
    if model is None:
        return None, envelope
    if model.topic.name != topic:
        raise NotAnEvent("wrong_topic", f"{envelope.type} does not belong on this topic")
    if value is None:
        if model.topic.kept_days is None:
            return None, envelope
        raise NotAnEvent("no_value")
    try:
        event: Event = model.__pydantic_validator__.validate_json(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = "/".join(str(part) for part in first["loc"] if part in _names() or isinstance(part, int))
        raise NotAnEvent("invalid_body", f"/{where}: {first['type']}") from error
    if b"\\u0000" in value and _holds_nul(event.model_dump()):
        # PostgreSQL refuses it, and its log then quotes the record around it.
        raise NotAnEvent("nul_character")
    return event, envelope


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        return any(_holds_nul(name) or _holds_nul(part) for name, part in value.items())
    return isinstance(value, list | tuple) and any(_holds_nul(part) for part in value)


@cache
def _names() -> frozenset[str]:
    """The names of all fields: an error may name these, and never a key that a sender has chosen."""

    def parts(part: type[Part]) -> Iterator[type[Part]]:
        yield part
        for kind in part.__subclasses__():
            yield from parts(kind)

    return frozenset(name for part in parts(Part) for name in part.model_fields)
