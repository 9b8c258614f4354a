"""Made answers, as records that the collector would have written."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from bench.stage import STORE, Failed
from shared.events import decode
from shared.events.envelope import Headers, Stamp, new_traceparent
from shared.events.responses import ResponseSubmitted
from shared.events.topics import RESPONSES
from shared.feedback.identity import length_prefixed
from shared.kafka import Producer

TOUCHPOINTS = ("post_purchase", "post_delivery", "support", "return")
COUNTRIES = ("NL", "DE", "FR", "BE", "GB")
LINES = ("shoes", "bags", "coats")
ANONYMOUS = 0.25
REPEAT_CUSTOMERS = 0.6
_STAMP = Stamp(ResponseSubmitted.type, source="/collector")
_AT_ONCE = 3000


def made_events(count: int, *, days: int, upto: datetime, seed: int = 7) -> Iterator[dict[str, Any]]:
    """`response.submitted` events in the order of their time, evenly over so many days."""
    dice = random.Random(seed)
    people = 0
    for number in range(count):
        answered_at = upto - timedelta(days=days) * (1 - (number + 1) / count)
        score = dice.choices((10, 9, 8, 7, 6, 3, 0), (28, 25, 14, 10, 9, 9, 5))[0]
        event: dict[str, Any] = {
            "metric": "nps",
            "scale": "0-10",
            "channel": "email",
            "complete": True,
            "test": False,
            "score": score,
            "comment": "Quick delivery, and the box arrived in one piece." if number % 3 == 0 else None,
            "touchpoint": dice.choice(TOUCHPOINTS),
            "locale": "nl-NL",
            "segments": {"country": dice.choice(COUNTRIES), "product_line": dice.choice(LINES)},
            "identity": "anonymous",
            "fingerprint": hashlib.sha256(b"%d" % number).hexdigest(),
            "answered_at": answered_at,
            "verified": True,
            "store": STORE,
            "response_id": f"made-{number:09d}",
            "key_id": "benchmark000",
            "received_at": answered_at,
        }
        if dice.random() >= ANONYMOUS:
            if people and dice.random() < REPEAT_CUSTOMERS:
                who = dice.randrange(people)
            else:
                who, people = people, people + 1
            event["identity"] = "identified"
            event["customer"] = {
                "ref": hashlib.blake2b(b"%d" % who, digest_size=16).hexdigest(),
                "id": f"c-{who:09d}",
                "email": f"c-{who:09d}@shop.example",
                "consent": True,
            }
        yield {name: value for name, value in event.items() if value is not None}


def record_of(event: dict[str, Any]) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers as the collector writes them."""
    return (
        length_prefixed(STORE, event["response_id"]).encode(),
        orjson.dumps(event),
        _STAMP.headers(event["received_at"], new_traceparent().encode()),
    )


async def fill_topic(bootstrap: str, count: int, *, days: int) -> None:
    """Write so many answers to the responses topic, through the product's own producer."""
    producer = Producer(bootstrap)
    await producer.start((RESPONSES.name,))
    try:
        waiting: list[Awaitable[None]] = []
        for event in made_events(count, days=days, upto=datetime.now(UTC) - timedelta(hours=1)):
            key, value, headers = record_of(event)
            if not waiting:
                decoded, _ = decode(headers, value, topic=RESPONSES.name)
                if not isinstance(decoded, ResponseSubmitted):
                    raise Failed("the made answers are not what the scorer reads")
            waiting.append(producer.send(RESPONSES.name, key, value, headers))
            if len(waiting) >= _AT_ONCE:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
