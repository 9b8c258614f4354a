"""The notifier as processes: from an answer in Kafka to a received webhook and a case over HTTP."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from notifier_desk import SECRET, Desk, webhook
from notifier_receiver import Receiver, answer, hang
from standardwebhooks import Webhook

from shared.access import Scope, keys
from shared.config.secrets import Secrets
from shared.db import Database
from shared.events import Received
from shared.events.envelope import new_traceparent
from shared.events.registry import encode
from shared.events.topics import TOPICS
from shared.kafka import Producer

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
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
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
        async with httpx.AsyncClient() as client:
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


@pytest.fixture
async def shop(database: Database, database_url: str, bootstrap: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with Receiver() as receiver:
        desk = Desk(database)
        file = tmp_path / "closeloop.yaml"
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
        shop = Shop(desk, receiver, environment, tmp_path)
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


class TestTheProcess:
    async def test_turns_an_answer_into_a_case_and_a_webhook(self, shop: Shop) -> None:
        service = shop.service()
        traceparent = new_traceparent()
        async with running(service):
            await shop.produce([shop.desk.standing(tier="Gold")])
            await shop.produce([shop.desk.submitted(2, comment="Canary, it came late")], traceparent)
            await shop.receiver.wait_for(1, seconds=30)
            [hit] = shop.receiver.hits
            payload = Webhook(SECRET).verify(hit.body, hit.headers)
            case = await shop.get(service, f"/v1/cases/{payload['data']['case']['id']}")
            async with asyncio.timeout(10):
                while case["deliveries"][0]["state"] != "sent" or await shop.desk.facts():
                    await asyncio.sleep(0.05)
                    case = await shop.get(service, f"/v1/cases/{case['id']}")
            async with httpx.AsyncClient() as client:
                metrics = (await client.get(f"{service.url}/metrics")).text
            exit_code = await service.stop()

        assert payload["data"]["answer"]["comment"] == "Canary, it came late"
        assert (case["status"], case["customer"]["id"]) == ("open", "c-1")
        assert hit.headers["traceparent"] == traceparent
        assert exit_code == 0
        log = service.log.read_text()
        for fact in ("case.opened", "alert.sent"):
            [line] = [line for line in log.splitlines() if f'"{fact}"' in line]
            assert traceparent.split("-")[1] in line, "one word must lead from the answer to the alert"
        assert "Canary" not in log
        assert 'closeloop_deliveries_total{channel="webhook",result="sent"} 1.0' in metrics
        assert 'closeloop_pipeline_latency_seconds_count{stage="notified"} 1.0' in metrics
        assert 'closeloop_cases_opened_total{priority="normal"} 1.0' in metrics

    async def test_killed_while_sending_sends_again_under_the_same_id(self, shop: Shop) -> None:
        shop.receiver.script = [hang, answer(200)]
        first, second = (
            shop.service(NOTIFIER_SEND_TIMEOUT_SECONDS="60", NOTIFIER_LEASE_SECONDS="65"),
            shop.service(),
        )
        await first.start()
        await shop.produce([shop.desk.submitted(2)])
        await shop.receiver.wait_for(1, seconds=30)
        await first.kill()
        async with shop.desk.database.transaction() as session:
            # A minute in a moment: the lease of the killed process runs out.
            await session.exec_driver_sql(
                "UPDATE notifier.deliveries SET next_at = now() WHERE lease_token IS NOT NULL"
            )
        async with running(second):
            await shop.receiver.wait_for(2, seconds=30)
            async with asyncio.timeout(10):
                while (await shop.desk.deliveries())[0]["state"] != "sent":
                    await asyncio.sleep(0.05)

        assert len({hit.id for hit in shop.receiver.hits}) == 1
        assert len(await shop.desk.cases()) == 1

    async def test_two_replicas_killed_at_random_lose_and_double_no_case(self, shop: Shop) -> None:
        answers = [
            shop.desk.submitted(n % 7, response_id=f"r{n}", customer=f"c{n % 150}") for n in range(300)
        ]
        replicas = [shop.service(), shop.service()]
        await asyncio.gather(*(replica.start() for replica in replicas))
        for n in range(0, 300, 60):
            await shop.produce(answers[n : n + 60] + answers[max(0, n - 20) : n])
            if n in (60, 180):
                victim = replicas[n // 180]
                await victim.kill()
                await victim.start()
        async with asyncio.timeout(60):
            while len(shop.receiver.hits) < 150 or any(
                d["state"] != "sent" for d in await shop.desk.deliveries()
            ):
                await asyncio.sleep(0.1)
            while len(await shop.desk.rows("SELECT 1 FROM notifier.case_answers WHERE store = :store")) < 300:
                await asyncio.sleep(0.1)
        await asyncio.gather(*(replica.stop() for replica in replicas))

        assert len(await shop.desk.cases()) == 150
        assert len(await shop.desk.deliveries()) == 150
        assert len({hit.id for hit in shop.receiver.hits}) == 150
