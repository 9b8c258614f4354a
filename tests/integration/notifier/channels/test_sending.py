"""Alerts on their way: real database, real sockets."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from services.notifier.deliveries import claims, store
from services.notifier.deliveries.claims import Result
from services.notifier.deliveries.store import State
from shared.db import Database
from tests.integration.notifier.desk import Desk
from tests.integration.notifier.receiver import Receiver, answer, endless, garbage, hang, redirect
from tests.integration.notifier.sending import check, delivering, sections, settled, webhooks


class TestADelivery:
    async def test_is_a_signed_webhook_with_case_answer_and_customer(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(desk.standing(tier="Gold"))
            await desk.apply(desk.submitted(2, comment="It came <late>", touchpoint="post_delivery"))
            async with delivering(desk):
                [row] = await settled(desk, "sent")

        [hit] = receiver.hits
        assert hit.id == row["delivery_id"]
        assert hit.headers["traceparent"] == row["traceparent"]
        payload = check(hit)
        case = await desk.case()
        assert payload["type"] == "case.opened"
        assert payload["data"]["case"]["id"] == case["case_id"]
        assert (
            payload["data"]["answer"] | {"comment": "It came <late>", "score": 2} == payload["data"]["answer"]
        )
        assert payload["data"]["customer"] == {
            "ref": "c-1",
            "id": "c-1",
            "email": "c-1@example.com",
            "name": "Ann",
            "tier": "Gold",
            "tags": ["vip"],
        }
        assert payload["data"]["links"]["case"] == f"https://feedback.example/inbox/{case['case_id']}"
        assert (row["attempt"], row["last_status"], row["last_reply"]) == (1, 200, "thanks")

    async def test_is_tried_again_under_the_same_id_until_somebody_takes_it(self, desk: Desk) -> None:
        async with Receiver() as trap, Receiver() as receiver:
            receiver.script = [
                answer(500, b"stack\x00trace" + b"y" * 500),
                answer(429, headers="retry-after: 1\r\n"),
                redirect(trap.url),
                hang,
                garbage,
                answer(200),
            ]
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(desk.submitted(2))
            async with delivering(desk):
                [row] = await settled(desk, "sent")

        assert len(receiver.hits) == 6
        assert {hit.id for hit in receiver.hits} == {row["delivery_id"]}
        for hit in receiver.hits:
            check(hit)
        assert receiver.hits[2].at - receiver.hits[1].at >= 1, "Retry-After was not honoured"
        assert trap.hits == [], "the redirect was followed"
        assert row["attempt"] == 6

    async def test_is_dead_after_the_last_try_and_can_be_sent_again(self, desk: Desk) -> None:
        async with Receiver([answer(500, b"no\x07pe" + b"y" * 500)]) as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(desk.submitted(2))
            async with delivering(desk) as loop:
                [row] = await settled(desk, "dead")
                assert len(receiver.hits) == 10
                assert row["attempt"] == 10
                assert row["last_reply"] == ("nope" + "y" * 500)[:256]

                receiver.script = [answer(204, b"")]
                async with desk.database.transaction() as session:
                    await store.replay(session, desk.store, row["delivery_id"])
                loop.ring()
                await settled(desk, "sent")
        assert {hit.id for hit in receiver.hits} == {row["delivery_id"]}

    async def test_to_a_receiver_that_is_gone_is_dead_at_once(self, desk: Desk) -> None:
        async with Receiver([answer(410)]) as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(desk.submitted(2))
            async with delivering(desk):
                await settled(desk, "dead")
        assert len(receiver.hits) == 1

    async def test_reads_no_more_of_an_endless_reply_than_it_needs(self, desk: Desk) -> None:
        async with Receiver([endless]) as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(desk.submitted(2))
            async with delivering(desk):
                [row] = await settled(desk, "sent")
        assert row["last_reply"] == "x" * 256

    async def test_goes_to_no_private_address_unless_told(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = webhooks(alerts=receiver.url.replace("http:", "https:"))
            await desk.apply(desk.submitted(2))
            async with delivering(desk, allow_private_targets=False):
                [row] = await settled(desk, "dead")
        assert receiver.hits == []
        assert row["last_error"] == "the target's port is not one that alerts may go to"

    async def test_of_a_waiting_comment_is_sent_with_it(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            async with delivering(desk) as loop:
                await desk.apply(desk.submitted(2, complete=False))
                loop.ring()
                await asyncio.sleep(0.3)
                assert receiver.hits == []

                await desk.apply(desk.amended(comment="late"))
                loop.ring()
                await receiver.wait_for(1)
        assert check(receiver.hits[0])["data"]["answer"]["comment"] == "late"

    async def test_of_a_comment_that_never_comes_is_sent_after_90_seconds(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            desk.now = datetime.now(UTC) - timedelta(seconds=88.5)
            await desk.apply(desk.submitted(2, complete=False))
            started = time.monotonic()
            async with delivering(desk):
                await receiver.wait_for(1)
        assert 1 <= receiver.hits[0].at - started <= 2.2

    async def test_is_not_sent_for_an_answer_that_was_retracted(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.one_by_one([desk.submitted(2), desk.retracted()])
            async with delivering(desk):
                await asyncio.sleep(0.3)
        assert receiver.hits == []


class TestALease:
    async def test_of_a_killed_process_runs_out_and_the_alert_is_sent_under_the_same_id(
        self, desk: Desk
    ) -> None:
        async with Receiver() as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(desk.submitted(2))
            async with desk.database.transaction() as session:
                [claimed] = await claims.claim(
                    session, {(desk.store, "alerts"): 9}, token="dead", lease_seconds=1
                )
            claimed_at = time.monotonic()
            async with delivering(desk):
                [row] = await settled(desk, "sent")

        [hit] = receiver.hits
        assert hit.id == claimed.delivery_id
        assert hit.at - claimed_at >= 0.9
        assert row["attempt"] == 2

    async def test_that_somebody_else_holds_by_now_records_nothing(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2))
        free = {(desk.store, "alerts"): 9}
        async with desk.database.transaction() as session:
            [mine] = await claims.claim(session, free, token="mine", lease_seconds=0)
        await asyncio.sleep(0.01)
        async with desk.database.transaction() as session:
            await claims.claim(session, free, token="theirs", lease_seconds=60)
        late = Result(mine.delivery_id, "mine", State.SENT, 0, 200, 5, "", "")
        async with desk.database.transaction() as session:
            assert await claims.record(session, [late]) == set()

        [row] = await desk.deliveries()
        assert (row["state"], row["lease_token"]) == ("pending", "theirs")

    async def test_is_let_go_when_the_process_stops(self, desk: Desk) -> None:
        async with Receiver([hang]) as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(desk.submitted(2))
            async with delivering(desk, send_timeout_seconds=20, lease_seconds=60):
                await receiver.wait_for(1)
            [row] = await desk.deliveries()
            assert (row["state"], row["lease_token"], row["attempt"]) == ("pending", None, 0)
            assert row["next_at"] <= datetime.now(UTC)

    async def test_of_a_cancelled_alert_on_its_way_still_records_that_it_arrived(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2))
        async with desk.database.transaction() as session:
            [mine] = await claims.claim(session, {(desk.store, "alerts"): 9}, token="mine", lease_seconds=60)
        await desk.apply(desk.retracted())
        async with desk.database.transaction() as session:
            await claims.record(session, [Result(mine.delivery_id, "mine", State.SENT, 0, 200, 5, "", "")])

        [row] = await desk.deliveries()
        assert row["state"] == "sent"


class TestSideBySide:
    async def test_two_replicas_send_each_alert_once(self, desk: Desk) -> None:
        patient = {"send_timeout_seconds": 10, "lease_seconds": 30}
        async with Receiver() as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(*(desk.submitted(1, response_id=f"r{n}", customer=f"c{n}") for n in range(200)))
            async with delivering(desk, **patient), delivering(desk, **patient):
                await settled(desk, "sent", count=200)
        assert Counter(Counter(hit.id for hit in receiver.hits).values()) == {1: 200}

    async def test_a_hung_receiver_does_not_delay_another(self, desk: Desk) -> None:
        """Compared by order: the healthy one has every alert before an attempt at the other ends."""
        async with Receiver([hang]) as hung, Receiver() as healthy:
            desk.alerts = webhooks(hung=hung.url, healthy=healthy.url)
            patient = {"send_timeout_seconds": 30, "connect_timeout_seconds": 30, "lease_seconds": 60}
            async with delivering(desk, **patient) as loop:
                await desk.apply(
                    *(desk.submitted(1, response_id=f"a{n}", customer=f"a{n}") for n in range(100))
                )
                loop.ring()
                await healthy.wait_for(100)
                await hung.wait_for(1)
                for n in range(20):
                    await desk.apply(desk.submitted(1, response_id=f"b{n}", customer=f"b{n}"))
                    loop.ring()
                    await healthy.wait_for(101 + n)
                waiting = [row for row in await desk.deliveries() if row["channel"] == "hung"]
        assert {(row["state"], row["last_error"]) for row in waiting} == {("pending", None)}
        assert len(hung.hits) <= 32

    async def test_six_hung_receivers_delay_nothing_of_a_healthy_one(self, desk: Desk) -> None:
        """Compared by order: the healthy one has everything before any of the others' attempts ends."""
        async with Receiver([hang]) as hung, Receiver() as healthy:
            others = {f"hung{n}": f"{hung.url}?{n}" for n in range(6)}
            desk.alerts = webhooks(**others, healthy=healthy.url)
            await desk.apply(*(desk.submitted(1, response_id=f"r{n}", customer=f"c{n}") for n in range(60)))
            patient = {"send_timeout_seconds": 30, "connect_timeout_seconds": 30, "lease_seconds": 60}
            async with delivering(desk, **patient):
                await healthy.wait_for(60)
                rows = await settled(desk, "sent", count=60)
        waiting = [row for row in rows if row["channel"] != "healthy"]
        assert len(waiting) == 360
        assert {row["state"] for row in waiting} == {"pending"}
        assert all(row["last_error"] is None for row in waiting)
        assert 0 < len(hung.hits) <= 6 * 32

    async def test_a_breaker_spares_a_dead_target_and_lets_one_through_later(self, desk: Desk) -> None:
        async with Receiver([answer(500)]) as receiver:
            desk.alerts = webhooks(alerts=receiver.url)
            await desk.apply(*(desk.submitted(1, response_id=f"r{n}", customer=f"c{n}") for n in range(100)))
            async with delivering(desk, retry_scale=1, sends_per_target=5):
                await asyncio.sleep(1)
        assert 5 <= len(receiver.hits) <= 10
        assert sum(row["attempt"] for row in await desk.deliveries()) == len(receiver.hits)

    async def test_slack_gets_blocks(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = sections(chat={"kind": "slack", "url": receiver.url})
            await desk.apply(desk.submitted(2, comment="<!channel> it & that"))
            async with delivering(desk):
                await settled(desk, "sent")
        body = orjson.loads(receiver.hits[0].body)
        assert "NPS 2" in body["text"]
        assert "“&lt;!channel&gt; it &amp; that”" in [
            block.get("text", {}).get("text") for block in body["blocks"]
        ]


@pytest.fixture(autouse=True)
def _database_is_there(database: Database) -> None:
    """Every test here needs it."""
