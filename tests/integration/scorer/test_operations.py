"""`verify` finds what is wrong, and `rebuild` puts it right while others read and write."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import pytest

from services.scorer import operations
from services.scorer.counting.store import respondents
from services.scorer.counting.store import verification as stored
from services.scorer.counting.store.answers import Connection, Key
from shared.db import asyncpg_connection
from tests.integration.scorer.builders import NOON, Shop, answer


async def hour_faults(shop: Shop) -> list[stored.BucketFault]:
    async with shop.database.snapshot() as session:
        found = await stored.hour_faults(await asyncpg_connection(session), limit=10_000)
    return [fault for fault in found if fault.store == shop.name]


class TestRebuild:
    async def test_a_reader_sees_the_old_figures_until_the_new_ones_are_there(self, shop: Shop) -> None:
        await shop.send(*[answer(f"r{n}", 9) for n in range(3)])
        before = await shop.buckets()
        async with shop.database.snapshot() as reader, shop.database.transaction() as writer:
            assert await total(await asyncpg_connection(reader), shop) > 0
            await stored.recount_buckets(await asyncpg_connection(writer), operations.JOB_SHARD)
            async with asyncio.timeout(2):  # nobody who only reads waits for it
                assert await shop.counts(NOON) == (3, 0, 0)
        async with shop.database.snapshot() as late:
            await asyncpg_connection(late)  # its snapshot is older than the commit that comes now
            seen = await total(await asyncpg_connection(late), shop)
            async with shop.database.transaction() as writer:
                await stored.recount_buckets(await asyncpg_connection(writer), operations.JOB_SHARD)
            assert await total(await asyncpg_connection(late), shop) == seen > 0
        assert await shop.buckets() == before

    async def test_an_anonymous_answer_that_changes_meanwhile_is_not_written_back(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody is its respondent, so only its own lock keeps the consumer away."""
        await shop.send(answer("a", 9))
        shop.configure(segments={"country": {}})  # so that the rebuild writes it
        await shop.send(answer("b", 9, segments={"country": "NL"}))
        recount, changing = type(shop.counter).recount, asyncio.Event()
        sent: list[asyncio.Task[int]] = []

        async def overtaken(*arguments: object, **more: object) -> int:
            if not sent:
                sent.append(asyncio.create_task(shop.send_despite_others(answer("a", 2, ce_id="ce-0"))))
                done, _ = await asyncio.wait(sent, timeout=0.3)
                assert not done, "the consumer changed an answer that the rebuild is writing"
                changing.set()
            return await recount(*arguments, **more)  # type: ignore[arg-type]

        shop.configure(timezone="Asia/Tokyo")
        monkeypatch.setattr(type(shop.counter), "recount", patched(recount, overtaken))
        await operations.rebuild(shop.database, shop.config, store_name=shop.name)
        await asyncio.gather(*sent)

        assert changing.is_set()
        assert await shop.counts(NOON) == (1, 0, 1)

    async def test_an_answer_that_got_another_respondent_is_read_again(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await shop.send(answer("a", 9, who="asha"))
        locked = respondents.lock_respondents
        calls: list[set[Key]] = []

        async def late(db: Connection, keys: Iterable[Key]) -> object:
            calls.append(wanted := set(keys))
            if len(calls) == 1:
                await shop.send(answer("a", 3, who="ben", ce_id="ce-0"))
            return await locked(db, wanted)

        shop.configure(segments={"country": {}})
        monkeypatch.setattr(operations.respondents, "lock_respondents", late)
        await operations.rebuild(shop.database, shop.config, store_name=shop.name)

        assert calls[2:] == [{(shop.name, "ben")}]  # asha's; the consumer's; and again
        assert await shop.counts(NOON) == (0, 0, 1)

    async def test_who_was_only_claimed_is_a_respondent_apart(self, shop: Shop) -> None:
        """As an older release stored it: the claim is the customer's last answer."""
        await shop.send(answer("a", 3, who="asha"))
        await shop.send(answer("b", 9, NOON + timedelta(hours=1), who="asha"))
        await shop.execute(
            """UPDATE scorer.answers SET body = jsonb_set(body::jsonb, '{verified}', 'false')::text
               WHERE store = $1 AND response_id = 'b'"""
        )
        latest = {"policy": "latest", "present": True}
        assert await shop.counts(NOON + timedelta(hours=2), **latest) == (1, 0, 0)

        await operations.rebuild(shop.database, shop.config, store_name=shop.name)
        assert await shop.counts(NOON + timedelta(hours=2), **latest) == (1, 0, 1)
        rows = await shop.rows("SELECT respondent FROM scorer.answers WHERE store = $1 ORDER BY response_id")
        assert rows == [("asha",), ("claimed:asha",)]

    async def test_hours_counted_before_it_are_void(self, shop: Shop) -> None:
        await shop.send(answer("a", 9), answer("b", 3))
        await shop.count_hours()
        assert await shop.hours_in_use() == 1
        await spoil_hours(shop)

        await operations.rebuild(shop.database, shop.config, store_name=shop.name)
        assert await shop.hours_in_use() == 0
        await shop.count_hours()
        assert await shop.hours_in_use() == 1
        assert await hour_faults(shop) == []


class TestVerify:
    async def test_counted_hours_are_counted_again(self, shop: Shop) -> None:
        await shop.send(answer("a", 9), answer("b", 3))
        await shop.count_hours()
        assert await hour_faults(shop) == []
        await spoil_hours(shop)

        fault = (await hour_faults(shop))[0]
        assert fault.day.startswith("2025-03-01 12:00")
        assert (fault.stored, fault.recomputed) == ((1, 0, 2, 12), (1, 0, 1, 12))

    async def test_an_hour_that_nobody_would_use_is_no_fault(self, shop: Shop) -> None:
        await shop.send(answer("a", 9))
        await shop.count_hours()
        await spoil_hours(shop)
        await shop.send(answer("b", 3))
        assert await hour_faults(shop) == []


def patched(recount: object, overtaken: object) -> object:
    """The rebuild's own recount only: the consumer's runs inside of it."""
    inside = False

    async def recount_once(*arguments: object, **more: object) -> int:
        nonlocal inside
        if inside:
            return await recount(*arguments, **more)  # type: ignore[operator, no-any-return]
        inside = True
        return await overtaken(*arguments, **more)  # type: ignore[operator, no-any-return]

    return recount_once


async def total(db: Connection, shop: Shop) -> int:
    count: int = await db.fetchval(
        """SELECT coalesce(sum(promoters), 0) FROM scorer.buckets b
           JOIN scorer.series s ON s.id = b.series WHERE s.store = $1""",
        shop.name,
    )
    return count


async def spoil_hours(shop: Shop) -> None:
    async with shop.database.transaction() as session:
        await (await asyncpg_connection(session)).execute(
            """UPDATE scorer.hours h SET promoters = promoters + 1 FROM scorer.series s
               WHERE s.id = h.series AND s.store = $1""",
            shop.name,
        )
