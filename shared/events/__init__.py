"""The facts that travel over Kafka: their models, keys, topics and envelope.

An event is a promise: past tense, a major version in its type, unknown fields ignored,
only optional fields ever added. JSON Schemas are generated into `schemas/`.
"""

from shared.events.envelope import Envelope, NotAnEvent, Received, new_id
from shared.events.model import Event, OpenEnum
from shared.events.registry import EVENTS, decode, encode

__all__ = [
    "EVENTS",
    "Envelope",
    "Event",
    "NotAnEvent",
    "OpenEnum",
    "Received",
    "decode",
    "encode",
    "new_id",
]
