"""The disk of an engine is full: what can goes on, what cannot says so, and all heals when there is room."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.daytwo.conftest import running
from tests.daytwo.small_disk import SmallDisk
from tests.e2e.eventually import eventually
from tests.e2e.product import CONSUMERS, Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop

HEALED_SECONDS = 60
NOTICED_SECONDS = 40
MOST_ANSWERS = 400


def shop_of(product: Product) -> Shop:
    return Shop(product.urls, product.demo["secret_key"])


def worded() -> str:
    """A comment that no compression makes small."""
    return secrets.token_hex(4000)


async def doctor(product: Product) -> dict[str, dict[str, Any]]:
    """What `closeloop doctor` finds wrong."""
    done = await product.command("doctor", "--json")
    return {one["check"]: one for one in done.json if not one["ok"]}


async def healed(product: Product, shop: Shop, accepted: int) -> None:
    """All parts are ready, every answer is counted once, nothing was buried, the books balance."""

    async def counted() -> bool:
        ready = [await product.is_ready(service) for service in ("collector", *CONSUMERS)]
        return all(ready) and await shop.counts() == (accepted, 0, 0)

    await eventually(counted, within_seconds=HEALED_SECONDS)
    await product.caught_up()
    books = await product.command("verify", "--json")
    assert books.code == 0, books.output
    assert books.json["scorer"]["accepted"] == accepted
    assert (await product.command("dead", "list", "--json")).json == []
    assert await doctor(product) == {}


class TestOfPostgreSQL:
    @pytest.fixture
    async def disk(self, tmp_path: Path) -> AsyncIterator[SmallDisk]:
        with SmallDisk(tmp_path / "home" / "postgres") as disk:
            yield disk

    async def test_intake_goes_on_and_consumers_wait(
        self, tmp_path: Path, disk: SmallDisk, receiver: Receiver
    ) -> None:
        async with running(tmp_path / "home", receiver) as product, shop_of(product) as shop:
            accepted = await self._until_a_table_has_no_room(product, shop, disk)
            await self._until_the_log_has_no_room(product, disk)
            for _ in range(5):
                await shop.answer(9)  # 202: Kafka has it

            async def noticed() -> bool:
                wrong = await doctor(product)
                return {"disk", "postgres", *CONSUMERS} <= wrong.keys()

            await eventually(noticed, within_seconds=NOTICED_SECONDS)
            assert str(disk.folder) in (await doctor(product))["disk"]["found"]
            assert not await product.metric("scorer", "closeloop_dependency_up", dependency="postgres")
            assert await product.is_ready("collector")

            disk.make_room()
            await healed(product, shop, accepted + 5)

    async def _until_a_table_has_no_room(self, product: Product, shop: Shop, disk: SmallDisk) -> int:
        """Answers until a batch was put off; how many. Every one of them is taken."""
        for _ in range(10):
            await shop.answer(9)
        await product.caught_up()
        for number in range(MOST_ANSWERS):
            disk.fill()
            await shop.answer(9, comment=worded())
            if await product.metric("scorer", "closeloop_kafka_batch_retries_total"):
                return 10 + number + 1
        raise AssertionError("there was room all the time")

    async def _until_the_log_has_no_room(self, product: Product, disk: SmallDisk) -> None:
        """The write-ahead log needs a new file: PostgreSQL stops, and cannot start."""

        async def stopped() -> bool:
            disk.fill()
            try:
                await product.sql("SELECT pg_logical_emit_message(true, 'drill', 'x')")
                await product.sql("SELECT pg_switch_wal()")
            except (asyncpg.PostgresError, OSError):
                return "postgres ended" in product.output.read_text()
            return False

        await eventually(stopped, within_seconds=NOTICED_SECONDS)


class TestOfKafka:
    @pytest.fixture
    async def disk(self, tmp_path: Path) -> AsyncIterator[SmallDisk]:
        with SmallDisk(tmp_path / "home" / "kafka") as disk:
            yield disk

    async def test_intake_says_come_again_and_the_broker_comes_back(
        self, tmp_path: Path, disk: SmallDisk, receiver: Receiver
    ) -> None:
        async with running(tmp_path / "home", receiver) as product, shop_of(product) as shop:
            for _ in range(10):
                await shop.answer(9)
            accepted, put_off = await self._until_put_off(shop, disk)

            async def noticed() -> bool:
                disk.fill()
                return {"disk", "kafka", "collector"} <= (await doctor(product)).keys()

            await eventually(noticed, within_seconds=NOTICED_SECONDS)
            assert "kafka ended" in product.output.read_text()
            assert not await product.metric("collector", "closeloop_dependency_up", dependency="kafka")

            disk.make_room()
            await eventually(lambda: product.is_ready("collector"), within_seconds=HEALED_SECONDS)
            # The client sends again what it was not told 202 for, under the same id.
            assert (await shop.post("/v1/responses", put_off)).status_code == 202
            await healed(product, shop, 10 + accepted + 1)

    async def _until_put_off(self, shop: Shop, disk: SmallDisk) -> tuple[int, dict[str, Any]]:
        """Answers until one gets 503: how many were taken, and that one with the id of its 503."""
        for number in range(MOST_ANSWERS):
            disk.fill()
            body = shop.body(9, comment=worded())
            said = await shop.post("/v1/responses", body)
            if said.status_code == 503:
                return number, body | {"response_id": said.json()["response_id"]}
            assert said.status_code == 202, said.text
        raise AssertionError("there was room all the time")
