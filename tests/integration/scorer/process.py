"""A real scorer process, spoken to as an operator would: HTTP, Kafka and SQL."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.events import encode
from shared.events.topics import CUSTOMERS, RESPONSES, SCORES
from tests.integration.scorer.builders import Sent

SECRET = "a root secret that is long enough for the tests"


@dataclass
class Scorer:
    """One running process and its neighbours."""

    url: str
    bootstrap: str
    database_url: str
    tokens: Mapping[str, str]
    http: httpx.AsyncClient

    async def get(self, path: str, *, token: str = "reader", **params: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens.get(token, token)}"} if token else {}
        return await self.http.get(path, params=params, headers=headers)

    async def score(self, **params: Any) -> dict[str, Any]:
        response = await self.get("/v1/scores", **params)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def produce(self, store: str, events: Iterable[Sent]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all")
        await producer.start()
        try:
            waiting = []
            for sent in events:
                event = sent.event.model_copy(update={"store": store})
                key, value, headers = encode(event, source="test", event_id=sent.ce_id)
                waiting.append(await producer.send(event.topic.name, value, key, headers=headers))
            await asyncio.gather(*waiting)
        finally:
            await producer.stop()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Ear"]:
        """What is published from now on."""
        consumer = AIOKafkaConsumer(SCORES.name, bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            await consumer.seek_to_end()
            for partition in consumer.assignment():
                await consumer.position(partition)
            yield Ear(consumer)
        finally:
            await consumer.stop()


class Ear:
    """The records of the scores topic, decoded, with the time when the log took them."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.heard: list[tuple[float, bytes, dict[str, Any]]] = []

    async def until(
        self, enough: Callable[[list[dict[str, Any]]], object], seconds: float = 20
    ) -> list[dict[str, Any]]:
        """The bodies heard so far, once they are enough."""
        deadline = time.monotonic() + seconds
        while not enough(bodies := [body for _, _, body in self.heard]):
            if time.monotonic() > deadline:
                raise AssertionError(f"heard only {bodies}")
            await self.poll()
        return bodies

    async def poll(self) -> list[dict[str, Any]]:
        """The bodies heard so far."""
        for records in (await self._consumer.getmany(timeout_ms=100)).values():
            self.heard += [
                (record.timestamp / 1000, record.key, json.loads(record.value)) for record in records
            ]
        return [body for _, _, body in self.heard]


async def skip_the_log(bootstrap: str, database_url: str) -> None:
    """What other tests left on the topics is none of this scorer's business."""
    topics = (RESPONSES.name, CUSTOMERS.name)
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        db = await asyncpg.connect(database_url)
        for topic in topics:
            partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
            for partition, end in (await consumer.end_offsets(partitions)).items():
                await db.execute(
                    """INSERT INTO scorer.progress (consumer, topic, partition, next_offset)
                       VALUES ('closeloop-scorer', $1, $2, $3)
                       ON CONFLICT (consumer, topic, partition)
                       DO UPDATE SET next_offset = excluded.next_offset""",
                    topic,
                    partition.partition,
                    end,
                )
        await db.close()
    finally:
        await consumer.stop()


@contextlib.asynccontextmanager
async def running(
    bootstrap: str, database_url: str, config: Path, folder: Path, tokens: Mapping[str, str], **settings: str
) -> AsyncIterator[Scorer]:
    """Started, ready, and stopped by its id at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "CLOSELOOP_CONFIG": str(config),
        "CLOSELOOP_SECRET": SECRET,
        "SCORER_PORT": str(port),
        **settings,
    }
    log = folder / "scorer.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.scorer", "serve"], env=environment, stdout=output, stderr=output
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
            deadline = time.monotonic() + 60
            while True:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the scorer is not ready: {log.read_text()[-4000:]}")
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get("/readyz")).status_code == 200:
                        break
                await asyncio.sleep(0.1)
            yield Scorer(str(http.base_url), bootstrap, database_url, tokens, http)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
