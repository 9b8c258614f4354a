"""The notifier killed with -9 at every step of a delivery: nothing is lost, nothing gets another id."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.integration.notifier.receiver import Receiver, answer, hang
from tests.integration.notifier.shop import Service, Shop, running

ALERTS = 3
GATE = 770_077
CLAIMING = "old.lease_token IS NULL AND new.lease_token IS NOT NULL"
RECORDING = "old.lease_token IS NOT NULL AND new.lease_token IS NULL"


@asynccontextmanager
async def gate(shop: Shop, when: str) -> AsyncIterator[None]:
    """PostgreSQL holds whoever changes a delivery in this way, until the end of the block."""
    database = shop.desk.database
    async with database.transaction() as session:
        for statement in (
            f"CREATE FUNCTION notifier.gate() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM pg_advisory_xact_lock({GATE}); RETURN new; END $$",
            f"CREATE TRIGGER gate BEFORE UPDATE ON notifier.deliveries FOR EACH ROW"
            f" WHEN (new.store = '{shop.desk.store}' AND {when}) EXECUTE FUNCTION notifier.gate()",
        ):
            await session.execute(text(statement))
    try:
        async with database.transaction() as holder:
            await holder.execute(text(f"SELECT pg_advisory_xact_lock({GATE})"))
            yield
    finally:
        async with database.transaction() as session:
            await session.execute(text("DROP FUNCTION notifier.gate() CASCADE"))


async def somebody_waits(shop: Shop) -> None:
    waiting = f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"
    async with asyncio.timeout(30):
        while not await shop.desk.rows(waiting + " AND CAST(:store AS text) IS NOT NULL"):
            await asyncio.sleep(0.01)


async def claimed(shop: Shop) -> None:
    async with asyncio.timeout(30):
        while sum(row["lease_token"] is not None for row in await shop.desk.deliveries()) < ALERTS:
            await asyncio.sleep(0.01)


async def begun(shop: Shop) -> Service:
    """A process whose attempts and leases outlive the test, and unhappy customers for it."""
    service = shop.service(NOTIFIER_SEND_TIMEOUT_SECONDS="60", NOTIFIER_LEASE_SECONDS="65")
    await service.start()
    answers = [shop.desk.submitted(2, response_id=f"r{n}", customer=f"c{n}") for n in range(ALERTS)]
    await shop.produce(answers + answers)
    return service


async def ended(shop: Shop, receiver: Receiver) -> Counter[str]:
    """Another process takes over. Returns how often each alert arrived, by its id."""
    async with shop.desk.database.transaction() as session:
        # A minute in a moment: the leases of the killed process run out.
        await session.exec_driver_sql(
            "UPDATE notifier.deliveries SET next_at = now() WHERE lease_token IS NOT NULL"
        )
    async with running(shop.service()):
        async with asyncio.timeout(40):
            while Counter(row["state"] for row in await shop.desk.deliveries()) != {"sent": ALERTS}:
                await asyncio.sleep(0.05)
    assert len(await shop.desk.cases()) == ALERTS, "each unhappy customer is one case"
    hits = Counter(hit.id for hit in receiver.hits)
    assert hits.keys() == {row["delivery_id"] for row in await shop.desk.deliveries()}
    return hits


class TestKilled:
    async def test_while_claiming_has_sent_nothing(self, shop: Shop) -> None:
        async with gate(shop, CLAIMING):
            service = await begun(shop)
            await somebody_waits(shop)
            await service.kill()
            assert shop.receiver.hits == []
        assert set((await ended(shop, shop.receiver)).values()) == {1}

    async def test_once_claimed_and_before_it_is_connected(self, shop: Shop) -> None:
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        port = full.getsockname()[1]
        crowd = []
        for _ in range(8):  # the queue of a receiver that accepts nobody; further ones hang in connecting
            crowd.append(socket.socket())
            crowd[-1].setblocking(False)
            crowd[-1].connect_ex(("127.0.0.1", port))
        file = Path(shop.environment["CLOSELOOP_CONFIG"])
        file.write_text(file.read_text().replace(str(shop.receiver.port), str(port)))
        try:
            service = await begun(shop)
            await claimed(shop)
            await service.kill()
        finally:
            for connection in (*crowd, full):
                connection.close()
        async with Receiver(port=port) as receiver:
            assert set((await ended(shop, receiver)).values()) == {1}

    async def test_after_sending_and_before_the_answer(self, shop: Shop) -> None:
        shop.receiver.script = [hang]
        service = await begun(shop)
        await shop.receiver.wait_for(ALERTS, seconds=30)
        await service.kill()
        shop.receiver.script = [answer(200)]
        assert set((await ended(shop, shop.receiver)).values()) == {2}

    async def test_after_the_answer_and_before_it_is_written_down(self, shop: Shop) -> None:
        async with gate(shop, RECORDING):
            service = await begun(shop)
            await shop.receiver.wait_for(1, seconds=30)
            await somebody_waits(shop)
            await service.kill()
        hits = await ended(shop, shop.receiver)
        assert set(hits.values()) <= {1, 2}
        assert 2 in hits.values()

    async def test_once_it_is_written_down_sends_nothing_again(self, shop: Shop) -> None:
        service = await begun(shop)
        async with asyncio.timeout(30):
            while Counter(row["state"] for row in await shop.desk.deliveries()) != {"sent": ALERTS}:
                await asyncio.sleep(0.02)
        await service.kill()
        assert set((await ended(shop, shop.receiver)).values()) == {1}


@pytest.fixture(autouse=True)
def _shop(shop: Shop) -> None:
    """Every test here needs it."""
