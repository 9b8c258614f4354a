"""Records as the applier takes them: an event, a dead letter, or a type that is newer than this code."""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from shared.db import DeadLetter, Position
from shared.events import Event, NotAnEvent, Received, decode

_TRACE_ID = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a record on which the client's parser breaks: its place is known, its content is not."""

    topic: str
    partition: int
    offset: int
    error: Exception
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Item(NamedTuple):
    """One record after decoding: an event, a dead letter, or neither (a type newer than this code).

    `follows`: the stored offset that this record must find; below `offset` where the log has a gap.
    """

    topic: str
    partition: int
    offset: int
    follows: int
    event: Received | None
    letter: DeadLetter | None
    record: Any


def item_of(record: Any, follows: int, handled: Container[type[Event]]) -> Item:
    """Decode a record of aiokafka's; what is not an event becomes a dead letter, whatever is in it."""
    topic, partition, offset = record.topic, record.partition, record.offset
    if isinstance(record, Unreadable):
        letter = letter_of(record, "unreadable", type(record.error).__name__)
        return Item(topic, partition, offset, follows, None, letter, record)
    try:
        event, envelope = decode(record.headers, record.value, topic=topic)
    except NotAnEvent as error:
        letter = letter_of(record, error.reason, str(error))
        return Item(topic, partition, offset, follows, None, letter, record)
    except Exception as error:  # it stops nobody
        letter = letter_of(record, "unreadable", type(error).__name__)
        return Item(topic, partition, offset, follows, None, letter, record)
    received = None
    if event is not None and type(event) in handled:
        received = Received(event, envelope, topic, partition, offset, record.value)
    return Item(topic, partition, offset, follows, received, None, record)


def letter_of(record: Any, reason: str, detail: str) -> DeadLetter:
    """The record as it is kept for whoever looks why it was not applied."""
    trace = next((value for name, value in record.headers if name == "traceparent" and value), b"")
    found = _TRACE_ID.fullmatch(trace)
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason,
        detail=detail,
        key=record.key,
        value=record.value,
        headers=record.headers,
        correlation_id=found[1].decode() if found else "",
    )


def around_letters(items: Sequence[Item]) -> list[list[Item]]:
    """Runs of good items, and each bad one alone."""
    parts: list[list[Item]] = []
    for bad, run in groupby(items, key=lambda item: item.letter is not None):
        held = list(run)
        parts.extend([[item] for item in held] if bad else [held])
    return parts


def moves_of(items: Sequence[Item]) -> list[Position]:
    """What applying these items does to the stored offsets."""
    first: dict[tuple[str, int], Item] = {}
    last: dict[tuple[str, int], Item] = {}
    for item in items:
        place = (item.topic, item.partition)
        first.setdefault(place, item)
        last[place] = item
    return [
        Position(topic, partition, item.follows, last[topic, partition].offset + 1)
        for (topic, partition), item in first.items()
    ]
