"""The service as its own process: events in through Kafka, a customer out through HTTP and Kafka."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from shared.access import Scope, keys
from shared.config.secrets import Secrets
from shared.db import Database
from shared.events import encode
from shared.events.responses import Customer
from shared.events.topics import TOPICS
from shared.feedback.identity import customer_ref
from shared.kafka import Producer
from tests.integration.segmenter.builders import Sent, answer, closed, opened, order

ROOT = Path(__file__).parents[3]
SECRET = "a root secret that is long enough for the tests"


@dataclass
class Service:
    process: "subprocess.Popen[bytes]"
    url: str
    token: str
    store: str
    log: Path

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=5, trust_env=False, verify=False) as client:
            return await client.get(path, headers={"authorization": f"Bearer {self.token}"})

    async def wait(self, path: str, good: Callable[[httpx.Response], bool], seconds: float = 60) -> Any:
        answer: httpx.Response | None = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    assert self.process.poll() is None, self.log.read_text()[-4000:]
                    try:
                        answer = await self.get(path)
                    except httpx.TransportError:
                        pass
                    else:
                        if good(answer):
                            return answer.json()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            seen = answer.text if answer else "nothing"
            raise AssertionError(f"{path}: {seen}\n{self.log.read_text()[-4000:]}") from None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(folder: Path, store: str, bootstrap: str, database_url: str, *more: str) -> Service:
    config = folder / "closeloop.yaml"
    config.write_text(f"stores: {{{store}: {{name: Test}}}}\n")
    port, log = free_port(), folder / f"segmenter-{uuid4().hex[:6]}.log"
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "CLOSELOOP_CONFIG": str(config),
        "CLOSELOOP_SECRET": SECRET,
        "SEGMENTER_PORT": str(port),
        "SEGMENTER_PUBLISH_INTERVAL_SECONDS": "0.5",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.segmenter", "serve", *more],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    return Service(process, f"http://127.0.0.1:{port}", "", store, log)


def end(service: Service) -> int:
    service.process.send_signal(signal.SIGTERM)
    try:
        return service.process.wait(12)
    finally:
        service.process.kill()


@pytest.fixture
async def service(database_url: str, bootstrap: str, tmp_path: Path) -> AsyncIterator[Service]:
    store = f"s{uuid4().hex[:12]}"
    database = Database(database_url, pool_size=1)
    async with database.transaction() as session:
        token = await keys.create(
            session, store=store, kind="secret", scopes=[Scope.ADMIN], pepper=Secrets(SECRET).pepper
        )
    await database.close()
    service = start(tmp_path, store, bootstrap, database_url)
    service.token = token
    yield service
    if service.process.poll() is None:
        end(service)


async def produce(bootstrap: str, store: str, *sent: Sent) -> None:
    producer = Producer(bootstrap)
    await producer.start(tuple(topic.name for topic in TOPICS))
    try:
        for one in sent:
            event = one.event.model_copy(update={"store": store})
            key, body, headers = encode(event, source="test", event_id=one.ce_id)
            await producer.send(event.topic.name, key, body, headers)
    finally:
        await producer.stop(2.0)


async def changes(bootstrap: str, store: str, ref: str, tier: str) -> list[dict[str, Any]]:
    """What loyalty.customers.v1 says of one customer, until that tier."""
    consumer = AIOKafkaConsumer(
        "loyalty.customers.v1", bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    found: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(30):
            async for record in consumer:
                if record.value is None:
                    continue  # the end of a key: others erased somebody here
                body = json.loads(record.value)
                if (body["store"], body["customer_ref"]) == (store, ref):
                    found.append(body)
                    if body["tier"] == tier:
                        return found
    finally:
        await consumer.stop()
    return found


def ok(answer: httpx.Response) -> bool:
    return answer.status_code == 200


class TestProcess:
    async def test_events_in_customer_out(self, service: Service, bootstrap: str) -> None:
        await service.wait("/readyz", ok)
        ref = customer_ref(Secrets(SECRET).customers, service.store, customer_id="c-1") or ""
        person = Customer(ref=ref, id="c-1", email="asha@example.com", name="Asha")
        today = datetime.now(UTC)
        recent, older = ((today - timedelta(days=days)).date().isoformat() for days in (2, 9))
        story = [
            answer("r-1", score=3, customer=person, when=recent),
            order("o-1", 600, older, customer=person),
            order("o-2", 950, recent, customer=person),
            opened("case-1", recent, ref=ref),
            closed("case-1", recent, ref=ref),
        ]
        await produce(bootstrap, service.store, *story, *story)
        found = await service.wait("/v1/customers/c-1", lambda got: ok(got) and got.json()["tier"] == "Gold")
        assert (found["points"], found["name"]) == (1570, "Asha")
        assert found["last_answers"][0]["response_id"] == "r-1"
        news = await changes(bootstrap, service.store, ref, "Gold")
        assert news[-1]["history"][-1]["tier"] == "Gold"
        assert [body["seq"] for body in news] == sorted({body["seq"] for body in news})
        scraped = (await service.get("/metrics")).text
        assert 'closeloop_kafka_processed_records_total{group="closeloop-segmenter"' in scraped
        assert end(service) == 0
        log = service.log.read_text()
        assert "asha" not in log.lower()
        assert ref not in log

    async def test_a_poison_event_stops_nobody(
        self, service: Service, bootstrap: str, database: Database
    ) -> None:
        await service.wait("/readyz", ok)
        ref = customer_ref(Secrets(SECRET).customers, service.store, customer_id="c-2") or ""
        person = Customer(ref=ref, id="c-2")
        bad = order("o-bad", -5, customer=person)
        await produce(bootstrap, service.store, bad, order("o-2", 20, customer=person))
        await service.wait("/v1/customers/c-2", ok)

        async def buried() -> list[Any]:
            async with database.transaction() as session:
                found = await session.exec_driver_sql(
                    "SELECT reason, detail FROM segmenter.dead_letters WHERE detail = 'NotApplicable'"
                )
                return list(found)

        async with asyncio.timeout(20):
            while not await buried():
                await asyncio.sleep(0.1)

    async def test_only_the_api_serves_without_consuming(
        self, service: Service, tmp_path: Path, bootstrap: str, database_url: str
    ) -> None:
        alone = start(tmp_path, service.store, bootstrap, database_url, "--only", "api")
        alone.token = service.token
        try:
            parts = (await alone.wait("/readyz", ok))["parts"]
            assert "consumer" not in parts
            assert (await alone.get("/v1/tiers")).status_code == 200
        finally:
            assert end(alone) == 0

    async def test_only_the_consumer_has_no_customers_api(
        self, service: Service, tmp_path: Path, bootstrap: str, database_url: str
    ) -> None:
        alone = start(tmp_path, service.store, bootstrap, database_url, "--only", "consumer")
        alone.token = service.token
        try:
            await alone.wait("/livez", ok)
            assert (await alone.get("/v1/tiers")).status_code == 404
        finally:
            assert end(alone) == 0


def test_a_mistake_in_the_rules_ends_it_with_the_line(tmp_path: Path, database_url: str) -> None:
    config = tmp_path / "closeloop.yaml"
    config.write_text(
        "stores:\n  shop:\n    name: A\n    loyalty:\n      tiers:\n"
        "        - {name: Base, enter: 0, keep: 0}\n        - {name: Top, enter: 10, keep: 20}\n"
    )
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CLOSELOOP_CONFIG": str(config),
        "CLOSELOOP_SECRET": SECRET,
    }
    done = subprocess.run(
        [sys.executable, "-m", "services.segmenter", "serve"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"line 7: stores.shop.loyalty.tiers.1.keep: must not be more than enter, 10" in done.stderr
