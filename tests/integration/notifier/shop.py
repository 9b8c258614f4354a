"""A configured store and processes of the notifier that serve it."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from shared.access import Scope, keys
from shared.config.secrets import Secrets
from shared.db import Database
from shared.events import Received
from shared.events.registry import encode
from shared.events.topics import TOPICS
from shared.kafka import Producer
from tests.integration.notifier.desk import Desk, webhook
from tests.integration.notifier.receiver import Receiver

PROJECT = Path(__file__).resolve().parents[3]
ROOT_SECRET = "r" * 40


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Service:
    """One process of the notifier."""

    def __init__(self, environment: dict[str, str], log: Path, only: str = "") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, **environment, "NOTIFIER_PORT": str(self.port)}
        self._only = ["--only", only] if only else []
        self.log = log

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.notifier", "serve", *self._only,
                cwd=PROJECT, env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, verify=False) as client:
            while True:
                assert self.process.returncode is None, self.log.read_text()
                try:
                    if (await client.get(f"{self.url}/readyz")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 10)


class Shop:
    """A configured store: its processes, its receiver, its way into Kafka, and its key."""

    def __init__(self, desk: Desk, receiver: Receiver, environment: dict[str, str], folder: Path) -> None:
        self.desk = desk
        self.receiver = receiver
        self.environment = environment
        self.folder = folder
        self.producer = Producer(environment["KAFKA_BOOTSTRAP_SERVERS"])
        self.key = ""

    def service(self, **given: str) -> Service:
        return Service(self.environment | given, self.folder / f"notifier-{free_port()}.log")

    async def produce(self, events: Sequence[Received], traceparent: str = "") -> None:
        waiting = []
        for received in events:
            key, body, headers = encode(
                received.event, source="test", traceparent=traceparent, event_id=received.envelope.id
            )
            waiting.append(self.producer.send(received.event.topic.name, key, body, headers))
        await asyncio.gather(*waiting)

    async def get(self, service: Service, path: str) -> Any:
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            reply = await client.get(f"{service.url}{path}", headers={"Authorization": f"Bearer {self.key}"})
        assert reply.status_code == 200, reply.text
        return reply.json()


@asynccontextmanager
async def running(*services: Service) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(service.start() for service in services))
        for service in services:
            stack.push_async_callback(service.stop)
        yield


@asynccontextmanager
async def opened_shop(
    database: Database, database_url: str, bootstrap: str, folder: Path
) -> AsyncIterator[Shop]:
    """A store of its own, ready to be served."""
    async with Receiver() as receiver:
        desk = Desk(database)
        file = folder / "closeloop.yaml"
        hook = webhook(receiver.url)
        file.write_text(
            f"stores:\n  {desk.store}:\n    name: Shop\n    alerts:\n      channels:\n        alerts:\n"
            + "".join(f"          {name}: {value}\n" for name, value in hook.items())
        )
        environment = {
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "CLOSELOOP_CONFIG": str(file),
            "CLOSELOOP_SECRET": ROOT_SECRET,
            "CLOSELOOP_ALLOW_PRIVATE_TARGETS": "1",
            "NOTIFIER_SEND_TIMEOUT_SECONDS": "1",
            "NOTIFIER_LEASE_SECONDS": "6",
            "NOTIFIER_RETRY_SCALE": "0.01",
        }
        shop = Shop(desk, receiver, environment, folder)
        async with database.transaction() as session:
            shop.key = await keys.create(
                session,
                store=desk.store,
                kind="secret",
                scopes=[Scope.CASES_READ],
                pepper=Secrets(ROOT_SECRET).pepper,
            )
        await shop.producer.start(tuple(topic.name for topic in TOPICS))
        yield shop
        await shop.producer.stop()
