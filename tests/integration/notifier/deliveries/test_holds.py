"""Alerts that are held, and the restored database that has them held."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.notifier.channels.restore_check import RestoreCheck
from services.notifier.deliveries import holds
from services.notifier.deliveries.holds import Why
from shared.db import Database, Inbox
from shared.kafka import Brokers
from tests.integration.notifier.desk import Desk
from tests.integration.notifier.receiver import Receiver
from tests.integration.notifier.sending import delivering, settled, webhooks

TOPIC = "feedback.responses.v1"
ROUNDS_SECONDS = 1.5


@pytest.fixture(autouse=True)
async def let_go(database: Database) -> AsyncIterator[None]:
    """A hold is for all stores, also those of other tests."""
    yield
    async with database.transaction() as session:
        await holds.release(session)


async def hold(database: Database, why: Why = Why.OPERATOR) -> None:
    async with database.transaction() as session:
        await holds.hold(session, why)


async def why_held(database: Database) -> list[Why]:
    async with database.transaction() as session:
        return await holds.held(session)


class TestAHold:
    async def test_keeps_alerts_waiting_until_it_is_released(self, desk: Desk) -> None:
        await hold(desk.database)
        async with Receiver() as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(desk.submitted(2))
            async with delivering(desk) as loop:
                loop.ring()
                await asyncio.sleep(ROUNDS_SECONDS)  # that nothing comes cannot be awaited otherwise
                assert receiver.hits == []
                assert [row["attempt"] for row in await desk.deliveries()] == [0]
                async with desk.database.transaction() as session:
                    await holds.release(session)
                await settled(desk, "sent")
        assert len(receiver.hits) == 1

    async def test_twice_is_one_hold_and_both_reasons_are_known(self, desk: Desk) -> None:
        for why in (Why.OPERATOR, Why.RESTORED, Why.OPERATOR):
            await hold(desk.database, why)
        assert await why_held(desk.database) == [Why.OPERATOR, Why.RESTORED]

    async def test_twice_goes_on_since_the_first_time(self, database: Database) -> None:
        await hold(database)
        async with database.transaction() as session:
            [first] = await holds.holds(session)
        await hold(database)
        async with database.transaction() as session:
            assert await holds.holds(session) == [first]

    async def test_shows_what_waits_on_each_channel(self, desk: Desk) -> None:
        desk.alerts = webhooks(alerts="http://127.0.0.1:1/", second="http://127.0.0.1:1/")
        await desk.apply(desk.submitted(2))
        async with desk.database.transaction() as session:
            mine = [one for one in await holds.waiting(session) if one.store == desk.store]
        assert [(one.channel, one.deliveries) for one in mine] == [("alerts", 1), ("second", 1)]
        assert {one.oldest for one in mine} == {desk.now}

    async def test_is_left_without_what_was_sent_before(self, desk: Desk) -> None:
        crash = desk.now
        desk.now = crash - timedelta(minutes=1)
        await desk.apply(desk.submitted(2, response_id="before", customer="c-1"))
        desk.now = crash + timedelta(minutes=1)
        await desk.apply(desk.submitted(2, response_id="after", customer="c-2"))
        async with desk.database.transaction() as session:
            await holds.call_off(session, crash)
        states = {row["response_id"]: row["state"] for row in await desk.deliveries()}
        assert states == {"before": "cancelled", "after": "pending"}


class TestTheSameLogReadAgain:
    async def test_makes_the_same_cases_and_alerts(self, desk: Desk) -> None:
        answer = desk.submitted(2)
        await desk.apply(answer)
        names = [[row["case_id"], row["delivery_id"]] for row in await desk.deliveries()]
        for table in ("deliveries", "history", "case_answers", "cases", "answers"):
            key = "case_id IN (SELECT case_id FROM notifier.cases WHERE store = :store)"
            where = key if table == "history" else "store = :store"
            await desk.rows(f"DELETE FROM notifier.{table} WHERE {where} RETURNING 1")
        await desk.apply(answer)
        assert [[row["case_id"], row["delivery_id"]] for row in await desk.deliveries()] == names


class TestADatabase:
    @pytest.fixture
    async def group(self, bootstrap: str) -> str:
        """A group that told Kafka that it has applied 5 records."""
        group = f"restored-{uuid4().hex}"
        client = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
        await client.start()
        try:
            client.assign([TopicPartition(TOPIC, 0)])
            await client.commit({TopicPartition(TOPIC, 0): 5})
        finally:
            await client.stop()
        return group

    @pytest.mark.parametrize(("stored", "restored"), [(None, True), (4, True), (5, False), (9, False)])
    async def test_that_knows_less_than_kafka_was_told_has_alerts_held(
        self, database: Database, bootstrap: str, group: str, stored: int | None, restored: bool
    ) -> None:
        if stored is not None:
            async with database.transaction() as session:
                await Inbox("notifier", group).begin(session, TOPIC, 0, stored)

        assert await RestoreCheck(database, Brokers(bootstrap), group).check() is restored

        assert await why_held(database) == ([Why.RESTORED] if restored else [])

    async def test_of_a_new_installation_has_not(self, database: Database, bootstrap: str) -> None:
        assert not await RestoreCheck(database, Brokers(bootstrap), f"new-{uuid4().hex}").check()
