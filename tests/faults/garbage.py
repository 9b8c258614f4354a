"""Records that are no events, thrown onto the topics while everything else goes on."""

import asyncio
import random

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.faults.audit import CASES, CUSTOMERS, ORDERS, READERS, RESPONSES, Auditor, Place

MARK = b"garbage of the fault journey"
PIECES = 8


async def throw(bootstrap: str, seed: str, seconds: float) -> None:
    """A few pieces, spread over the time; whether one arrived is seen in the log at the end."""
    rng = random.Random(f"garbage/{seed}")
    for _ in range(PIECES):
        await asyncio.sleep(rng.uniform(0, 2 * seconds / PIECES))
        topic = rng.choice((RESPONSES, RESPONSES, ORDERS, CUSTOMERS, CASES))
        headers = [("ce_id", b"1"), ("ce_type", b"response.submitted.v1")] if rng.random() < 0.5 else []
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, request_timeout_ms=5000)
        try:
            async with asyncio.timeout(10):
                await producer.start()
                await producer.send_and_wait(topic, MARK, key=rng.randbytes(8), headers=headers)
        except (KafkaError, TimeoutError):
            continue  # it may be in the log or not
        finally:
            await producer.stop()


async def places(auditor: Auditor) -> set[Place]:
    """Where each piece has to be a dead letter: once in every group that reads its topic."""
    return {
        (group, topic, record.partition, record.offset)
        for topic, groups in READERS.items()
        for record in await auditor.log_of(topic)
        if record.value == MARK
        for group in groups
    }
