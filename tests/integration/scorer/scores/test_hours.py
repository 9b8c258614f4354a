"""Hours counted once they are over."""

import asyncio
import contextlib
from datetime import timedelta

from services.scorer.scores.jobs import HourCounter
from services.scorer.scores.store.hours import pieces
from shared.db import Database, asyncpg_connection
from shared.feedback.windows import Window
from tests.integration.scorer.builders import DAY, NOON, US, Shop, answer, retract, tiers

HOUR = timedelta(hours=1)


async def hours_of(shop: Shop, window: Window) -> list[int]:
    """The counted hours that a reader of this stretch uses, from NOON on."""
    async with shop.database.snapshot() as session:
        found = await pieces(await asyncpg_connection(session), shop.name, [window])
    covered = sum(((hour + HOUR) - hour for hour in found.hours), timedelta())
    rest = sum((one.upto - one.after for one in found.rest), timedelta())
    assert covered + rest == window.upto - window.after
    return [round((hour - NOON) / HOUR) for hour in found.hours]


class TestCounting:
    async def test_counts_what_is_over_and_nothing_twice(self, shop: Shop) -> None:
        await shop.send(*[answer(f"r{n}", n, NOON + n * HOUR / 2) for n in range(6)])
        await shop.count_hours()
        assert await shop.hours_in_use() == 3
        before = await shop.rows("SELECT hour, changes, used FROM scorer.counted_hours WHERE store = $1")
        await shop.count_hours()
        after = await shop.rows("SELECT hour, changes, used FROM scorer.counted_hours WHERE store = $1")
        assert sorted(before) == sorted(after)

    async def test_an_hour_of_few_answers_is_left_to_the_readers(self, shop: Shop) -> None:
        await shop.send(answer("a"))
        job = HourCounter(shop.database, settled_seconds=0, worth_answers=2)
        while await job.count_some():
            pass
        assert await shop.hours_in_use() == 0
        assert await shop.rows("SELECT used FROM scorer.counted_hours WHERE store = $1") == [(False,)]

    async def test_an_hour_that_is_being_written_waits(self, shop: Shop) -> None:
        await shop.send(answer("a"))
        await HourCounter(shop.database, settled_seconds=60, worth_answers=1).count_some()
        assert await shop.hours_in_use() == 0

    async def test_every_kind_of_change_makes_its_hours_void(self, shop: Shop) -> None:
        await shop.send(answer("a", who="asha"), answer("b", when=NOON + 9 * HOUR))
        changes = [
            (answer("a2", when=NOON + 2 * HOUR, who="asha"), 1),  # asha's first is not the latest any more
            (tiers("asha", (NOON - DAY, "Gold")), 2),
            (answer("a2", when=NOON + 2 * HOUR + US, who="asha", ce_id="ce-0"), 1),  # a microsecond later
            (retract("a2"), 2),  # and asha's first is the latest again
        ]
        for change, void in changes:
            await shop.count_hours()
            before = await shop.hours_in_use()
            await shop.send(change)
            assert before - await shop.hours_in_use() == void
            assert await shop.counts(NOON + 2 * DAY) == (2 if "gone" in change.ce_id else 3, 0, 0)

    async def test_two_at_once_do_no_harm(self, shop: Shop, database: Database) -> None:
        await shop.send(*[answer(f"r{n}", 9, NOON + n * HOUR) for n in range(40)])

        async def some() -> None:
            for _ in range(4):
                with contextlib.suppress(Exception):  # one of the two is refused and comes again
                    await HourCounter(database, settled_seconds=0, worth_answers=1).count_some()

        await asyncio.gather(some(), some(), some())
        await shop.count_hours()
        assert await shop.hours_in_use() == 40
        assert await shop.counts(NOON + 3 * DAY) == (40, 0, 0)


class TestPieces:
    async def test_whole_hours_between_and_the_rest_by_answer(self, shop: Shop) -> None:
        await shop.send(*[answer(f"r{n}", 9, NOON + n * HOUR) for n in range(6)])
        await shop.count_hours()
        minute = timedelta(minutes=1)
        assert await hours_of(shop, Window(NOON - US, NOON + 2 * HOUR - US)) == [0, 1]
        assert await hours_of(shop, Window(NOON, NOON + 2 * HOUR - US)) == [1]
        assert await hours_of(shop, Window(NOON - US, NOON + 2 * HOUR - 2 * US)) == [0]
        assert await hours_of(shop, Window(NOON + minute, NOON + 2 * minute)) == []
        assert await hours_of(shop, Window(NOON - minute, NOON + 9 * HOUR)) == [0, 1, 2, 3, 4, 5]

    async def test_hours_that_changed_are_read_from_the_answers(self, shop: Shop) -> None:
        await shop.send(*[answer(f"r{n}", 9, NOON + n * HOUR) for n in range(6)])
        await shop.count_hours()
        await shop.send(answer("more", 3, NOON + 2 * HOUR + US))
        assert await hours_of(shop, Window(NOON - US, NOON + 6 * HOUR - US)) == [0, 1, 3, 4, 5]

    async def test_too_many_gaps_are_read_in_one_go(self, shop: Shop) -> None:
        await shop.send(*[answer(f"r{n}", 9, NOON + n * HOUR) for n in range(24)])
        await shop.count_hours()
        await shop.send(*[answer(f"more{n}", 3, NOON + n * HOUR) for n in range(0, 24, 2)])
        assert await hours_of(shop, Window(NOON - US, NOON + 24 * HOUR - US)) == []
        assert await shop.counts(NOON + 23 * HOUR) == (24, 0, 12)
