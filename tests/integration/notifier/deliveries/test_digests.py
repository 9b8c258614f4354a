"""Alerts that come too thickly, quiet hours, and replays."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from services.notifier.deliveries import store
from tests.integration.notifier.desk import Desk
from tests.integration.notifier.receiver import Receiver, answer
from tests.integration.notifier.sending import delivering, sections, settled


async def flood(desk: Desk, count: int, start: int = 0, *, verified: bool = True) -> None:
    """So many low answers, each of a customer of its own."""
    await desk.apply(
        *(
            desk.submitted(1, response_id=f"r{n}", customer=f"c{n}", verified=verified)
            for n in range(start, start + count)
        )
    )


async def verified_ids(desk: Desk) -> set[str]:
    return {case["case_id"] for case in await desk.cases() if case["verified"]}


async def past_the_ten_minutes(desk: Desk) -> None:
    async with desk.database.transaction() as session:
        await session.execute(
            text("UPDATE notifier.deliveries SET next_at = now() WHERE store = :s AND notice_id IS NOT NULL"),
            {"s": desk.store},
        )


class TestADigest:
    async def test_tells_once_what_came_too_thickly(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = sections(out={"kind": "slack", "url": receiver.url, "digest_after": 5})
            await flood(desk, 100)
            async with delivering(desk) as loop:
                rows = await settled(desk, "digested", count=95)
                await settled(desk, "sent", count=5)
                await flood(desk, 3, start=100)
                loop.ring()
                rows = await settled(desk, "digested", count=98)
                assert len(receiver.hits) == 5, "the digest waits for the end of its ten minutes"
                await past_the_ten_minutes(desk)
                loop.ring()
                rows = await settled(desk, "sent", count=6)
        digested = [row for row in rows if row["state"] == "digested"]
        [digest] = [row for row in rows if row["notice_id"]]
        assert {row["digest_id"] for row in digested} == {digest["notice_id"]}
        assert digest["state"] == "sent"

        body = receiver.hits[-1].body.decode()
        named = [row["case_id"] for row in digested if row["case_id"] in body]
        assert "98 more alerts in ten minutes" in body
        assert len(named) == 50
        assert "and 48 more" in body

    async def test_is_not_made_of_what_fits(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = sections(out={"kind": "slack", "url": receiver.url, "digest_after": 5})
            await flood(desk, 5)
            async with delivering(desk):
                rows = await settled(desk, "sent", count=5)
        assert all(row["digest_id"] is None for row in rows)

    async def test_by_two_replicas_has_each_alert_once(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = sections(out={"kind": "slack", "url": receiver.url, "digest_after": 5})
            await flood(desk, 200)
            async with delivering(desk), delivering(desk) as loop:
                await flood(desk, 100, start=200)
                loop.ring()
                await settled(desk, "digested", count=280)
                await past_the_ten_minutes(desk)
                loop.ring()
                rows = await settled(desk, "sent", count=6)
        alerts = [row for row in rows if row["case_id"]]
        singly = [row for row in alerts if row["state"] == "sent"]
        assert len(alerts) == 300
        assert {row["state"] for row in alerts} == {"sent", "digested"}
        assert 5 <= len(singly) <= 15
        assert len(receiver.hits) == len(singly) + sum(
            row["state"] == "sent" for row in rows if row["notice_id"]
        )

    async def test_of_claimed_customers_holds_up_no_alert_of_a_verified_one(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = sections(out={"kind": "slack", "url": receiver.url, "digest_after": 5})
            await flood(desk, 60, verified=False)
            async with delivering(desk) as loop:
                await settled(desk, "digested", count=55)
                await settled(desk, "sent", count=5)
                await flood(desk, 1, start=60)
                await flood(desk, 10, start=61, verified=False)
                loop.ring()
                await settled(desk, "digested", count=65)
                rows = await settled(desk, "sent", count=6)
        [real] = await verified_ids(desk)
        assert [row["state"] for row in rows if row["case_id"] == real] == ["sent"]
        assert real in receiver.hits[-1].body.decode()

    async def test_of_both_kinds_names_the_verified_first(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = sections(out={"kind": "slack", "url": receiver.url, "digest_after": 1})
            await flood(desk, 60, verified=False)
            await flood(desk, 4, start=60)
            await desk.rows(
                "UPDATE notifier.cases SET priority = 'urgent' WHERE store = :store AND NOT verified"
                " RETURNING 1"
            )
            async with delivering(desk) as loop:
                await settled(desk, "digested", count=62)
                await settled(desk, "sent", count=2)
                await past_the_ten_minutes(desk)
                loop.ring()
                rows = await settled(desk, "sent", count=3)
        real = await verified_ids(desk)
        body = receiver.hits[-1].body.decode()
        digested = {row["case_id"] for row in rows if row["state"] == "digested"}
        named = sorted((case_id for case_id in digested if case_id in body), key=body.index)
        assert "62 more alerts in ten minutes" in body
        assert len(named) == 50
        assert set(named[:3]) == real & digested

    async def test_leaves_a_program_every_alert(self, desk: Desk) -> None:
        async with Receiver() as receiver:
            secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            desk.alerts = sections(out={"kind": "webhook", "url": receiver.url, "secret": secret})
            await flood(desk, 60)
            async with delivering(desk):
                await settled(desk, "sent", count=60)

    async def test_that_dies_can_be_sent_again_with_the_same_alerts(self, desk: Desk) -> None:
        async with Receiver([answer(200), answer(410)]) as receiver:
            desk.alerts = sections(out={"kind": "slack", "url": receiver.url, "digest_after": 1})
            await flood(desk, 4)
            async with delivering(desk) as loop:
                await settled(desk, "digested", count=3)
                await settled(desk, "sent")
                await past_the_ten_minutes(desk)
                loop.ring()
                [dead] = [row for row in await settled(desk, "dead") if row["state"] == "dead"]
                receiver.script = [answer(200)]
                async with desk.database.transaction() as session:
                    await store.replay(session, desk.store, dead["delivery_id"])
                loop.ring()
                await settled(desk, "sent", count=2)
        first, second = receiver.hits[1:]
        assert orjson.loads(first.body) == orjson.loads(second.body)


def quiet_now(**given: Any) -> dict[str, Any]:
    """Quiet from an hour ago until an hour ahead, in the zone of the shop."""
    from zoneinfo import ZoneInfo

    now = datetime.now(ZoneInfo("Europe/Amsterdam"))
    span = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M}"
    return {"kind": "slack", "quiet_hours": span, **given}


class TestQuietHours:
    @pytest.mark.parametrize(("urgent_too", "sent"), [(False, 1), (True, 0)])
    async def test_put_off_all_but_the_urgent(self, desk: Desk, urgent_too: bool, sent: int) -> None:
        async with Receiver() as receiver:
            desk.alerts = sections(out=quiet_now(url=receiver.url, quiet_urgent=urgent_too))
            await flood(desk, 3)
            await desk.rows(
                "UPDATE notifier.cases SET priority = 'urgent' WHERE store = :store AND customer_ref = 'c1'"
                " RETURNING 1"
            )
            async with delivering(desk):
                soon = datetime.now(UTC) + timedelta(minutes=50)
                while sum(row["next_at"] > soon for row in await desk.deliveries()) < 3 - sent:
                    await asyncio.sleep(0.02)
                rows = await settled(desk, "sent", count=sent)
        assert len(receiver.hits) == sent
        put_off = [row for row in rows if row["state"] == "pending"]
        assert len(put_off) == 3 - sent
        assert all(row["attempt"] == 0 for row in put_off)
