"""Somebody of whom every field is a marker asks to be forgotten; the marker is then searched for."""

import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from tests.e2e.eventually import eventually
from tests.e2e.product import CONSUMERS, SERVICES, Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop

SCHEMAS = ("access", "public", "collector", *CONSUMERS)
SOURCES = ("feedback.responses.v1", "commerce.orders.v1")
DERIVED = ("loyalty.customers.v1", "feedback.scores.v1", "feedback.cases.v1", "feedback.erasures.v1")


class Canary:
    """A person who says one word everywhere."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.word = f"canary{secrets.token_hex(6)}"
        self.customer: dict[str, Any] = {
            "id": f"id-{self.word}",
            "email": f"{self.word}@shop.example",
            "name": f"Name {self.word}",
            "consent": True,
        }

    async def answer(self, score: int, **more: Any) -> str:
        said = {
            "comment": f"{self.word} wrote this",
            "customer": self.customer,
            "order": {"id": f"order-{self.word}", "value": 10, "currency": "EUR"},
            "answers": [{"question": "why", "value": self.word}],
            "segments": {"undeclared": self.word, "country": "NL"},
            "locale": "nl-NL",
        }
        return str((await self.shop.answer(score, **(said | more)))["response_id"])

    async def lives(self, product: Product) -> None:
        """Buys, answers well and badly, changes its mind, is called, and sends what nobody can read."""
        order = {"id": f"order-{self.word}"}
        await self.shop.order(
            "placed", **order, placed_at="2026-01-05T10:00:00Z", value=1600, currency="EUR",
            customer=self.customer,
        )  # fmt: skip
        await self.shop.order("delivered", **order, delivered_at="2026-01-07T10:00:00Z")
        refund = {"refund_id": f"refund-{self.word}", "refunded_at": "2026-01-08T10:00:00Z"}
        await self.shop.order("refunded", **order, **refund, amount=10, currency="EUR")
        await self.shop.post(
            "/v1/engagements",
            {"id": f"e-{self.word}", "kind": "review", "engaged_at": "2026-01-09T10:00:00Z",
             "customer": self.customer},
        )  # fmt: skip
        low, high = await self.answer(0), await self.answer(10)
        await self.answer(9, customer={"email": self.customer["email"], "name": self.customer["name"]})
        await self.shop.amend(low, score=1, comment=f"{self.word} again")
        await self.shop.amend(high, answers=[{"question": "why", "value": f"{self.word} again"}])
        for customer in (self.customer, None):  # rivals under its id, also without a name
            await self.shop.post(
                "/v1/responses", self.shop.body(3, response_id=low, comment=self.word, customer=customer)
            )
        await product.caught_up()
        case = await self.shop.case_of(self.customer)
        await self.shop.work(case["id"], "note", note=f"called {self.word}")
        await self.shop.work(case["id"], "contact", note=f"{self.word} was angry")
        [row] = await product.sql("SELECT customer_ref FROM notifier.cases WHERE case_id = $1", case["id"])
        await self._sends_what_nobody_can_apply(product, row["customer_ref"])
        await product.caught_up()

    async def _sends_what_nobody_can_apply(self, product: Product, ref: str) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=product.demo["kafka_bootstrap"])
        await producer.start()
        try:
            body = f'{{"store": "demo", "customer": {{"ref": "{ref}", "name": "{self.word}"}}, "score": "x"}}'
            headers = [("ce_id", b"7"), ("ce_type", b"response.submitted.v1")]
            await producer.send_and_wait(SOURCES[0], body.encode(), key=b"k", headers=headers)
        finally:
            await producer.stop()

    async def traces(self, product: Product) -> list[str]:
        """Where the word is found: tables, topics made by the services, logs, metrics, command output."""
        found = await self._in_tables(product)
        found += [f"topic {topic}" for topic in DERIVED if await self._is_in(product, topic)]
        logs = product.home / "logs"
        found += [str(file) for file in logs.rglob("*") if file.is_file() and self.word in _text(file)]
        for service in SERVICES:
            if self.word in (await product.get(service, "/metrics")).text:
                found.append(f"metrics of {service}")
        return found

    async def _in_tables(self, product: Product) -> list[str]:
        """Every column of every table, by one connection: a new one for each takes most of the time."""
        found = []
        connection = await asyncpg.connect(product.demo["database_url"])
        try:
            columns = await connection.fetch(
                """SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
                   WHERE table_schema = ANY($1)""",
                SCHEMAS,
            )
            for schema, table, name, kind in columns:
                shown = f"encode(\"{name}\", 'escape')" if kind == "bytea" else f'"{name}"::text'
                rows = f'SELECT 1 FROM {schema}."{table}" WHERE strpos({shown}, $1) > 0 LIMIT 1'
                if await connection.fetch(rows, self.word):
                    found.append(f"{schema}.{table}.{name}")
        finally:
            await connection.close()
        return found

    async def _is_in(self, product: Product, topic: str) -> bool:
        async with product.reader(topic) as reader:
            ends = await reader.end_offsets(reader.assignment())
            while any([await reader.position(part) < end for part, end in ends.items()]):
                for records in (await reader.getmany(timeout_ms=300)).values():
                    for record in records:
                        if self.word.encode() in (record.value or b"") + (record.key or b""):
                            return True
        return False


def _copy(source: Path, target: Path) -> None:
    """With the owner of each file: PostgreSQL does not start on a folder of somebody else."""
    subprocess.run(["cp", "-a", source, target], check=True)


def _text(file: Any) -> str:
    return str(file.read_text(errors="replace"))


@pytest.fixture(scope="module")
async def canary(product: Product, receiver: Receiver) -> Any:
    async with Shop(product.urls, product.demo["secret_key"]) as shop:
        canary = Canary(shop)
        await canary.lives(product)
        yield canary


async def figures(canary: Canary) -> Any:
    shop = canary.shop
    return [
        await shop.counts(policy=policy, segment=segment)
        for policy in ("all", "latest")
        for segment in (f"market:{shop.market}", f"market:{shop.market},tier:Gold", "country:NL")
    ]


class TestAPersonWhoAsksToBeForgotten:
    async def test_leaves_no_trace_and_the_same_scores_and_never_comes_back(
        self, product: Product, canary: Canary
    ) -> None:
        assert len(await canary.traces(product)) > 10
        before = await figures(canary)
        await product.stop()
        backup = product.home.with_name("backup-of-postgres")
        _copy(product.home / "postgres", backup)
        await product.start()

        erased = await self._erase(product, canary)
        assert set(erased.json["ages_out"]) >= set(SOURCES)
        assert await canary.traces(product) == []
        assert await figures(canary) == before
        assert (await product.command("verify", "--json")).json["balanced"]
        await self._is_forgotten_by_the_log(product, erased.json["refs"])

        assert (await self._erase(product, canary)).json["complete"]  # harmless twice

        await self._replay(product)
        assert await canary.traces(product) == []
        assert await figures(canary) == before
        await self._lets_alerts_go(product)

        await product.stop()
        shutil.rmtree(product.home / "postgres")
        _copy(backup, product.home / "postgres")
        await product.start()
        await product.caught_up()
        await eventually(lambda: self._no_traces(product, canary), within_seconds=60)
        assert await figures(canary) == before
        assert (await product.command("verify", "--json")).json["balanced"]
        await self._lets_alerts_go(product)

    async def _erase(self, product: Product, canary: Canary) -> Any:
        wanted = ("--customer-id", canary.customer["id"], "--email", canary.customer["email"])
        erased = await product.command("erase", "--store", "demo", *wanted, "--wait", "--json")
        assert erased.code == 0, erased.output + erased.errors
        return erased

    async def _no_traces(self, product: Product, canary: Canary) -> bool:
        assert await canary.traces(product) == []
        return True

    async def _is_forgotten_by_the_log(self, product: Product, refs: list[str]) -> None:
        """The last record of the person's key in the compacted topic has no value."""
        last: dict[str, bytes | None] = {}
        async with product.reader("loyalty.customers.v1") as reader:
            ends = await reader.end_offsets(reader.assignment())
            while any([await reader.position(part) < end for part, end in ends.items()]):
                for records in (await reader.getmany(timeout_ms=300)).values():
                    for record in records:
                        last |= {ref: record.value for ref in refs if ref.encode() in record.key}
        assert refs[0] in last
        assert set(last.values()) == {None}

    async def _lets_alerts_go(self, product: Product) -> None:
        """The notifier holds them, for its offsets went back; docs/runbook.md, "Restore", says so."""
        assert (await product.command("deliveries", "status", "--json")).json["held"] == ["restored"]
        assert (await product.command("deliveries", "release")).code == 0

    async def _replay(self, product: Product) -> None:
        """As a database that lost its offsets would: every service reads all topics from the start."""
        for service in CONSUMERS:
            await product.sql(f"UPDATE {service}.progress SET next_offset = 0")
        await product.stop()
        await product.start()
        await product.caught_up()
