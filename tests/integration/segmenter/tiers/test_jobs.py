"""The tier clock, the publisher's source, rebuild and verify."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime

import pytest

from services.segmenter.customers.jobs import CustomerSource
from services.segmenter.facts.store import CustomerKey
from services.segmenter.operations import rebuild, verify
from services.segmenter.tiers.domain.programme import Programme, Tier
from services.segmenter.tiers.jobs import TierClock
from shared.db import Database
from shared.events.customers import CustomerChanged
from shared.kafka import State
from tests.integration.segmenter.builders import ASHA, BEN, Shop, answer, at, milliseconds, order


async def until(what: Callable[[], object], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await what():
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def ticking(shop: Shop, *, now: datetime, clocks: int = 1, batch: int = 10) -> AsyncIterator[list[str]]:
    """Tier clocks over the shop whose present is `now`; yields what they said."""
    rung: list[str] = []
    running = [
        TierClock(
            shop.database,
            shop.rules_by_store,
            batch=batch,
            sleep_seconds=0.2,
            on_change=lambda: rung.append("changed"),
            clock=lambda: now,
        )
        for _ in range(clocks)
    ]
    tasks = [asyncio.create_task(clock.run()) for clock in running]
    try:
        yield rung
    finally:
        for clock in running:
            await clock.stop()
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks)


class TestTierClock:
    async def test_does_after_days_away_what_it_would_have_done_daily(self, shop: Shop) -> None:
        await shop.send(order("o-1", 550, "2024-03-01"))
        async with ticking(shop, now=at("2025-09-01")) as rung:
            await until(lambda: is_tier(shop, ASHA, "Bronze"))
        assert await shop.story() == [
            ("2024-03-01", 550, "Bronze -> Silver", "upgrade"),
            ("2025-03-01", 0, "Silver -> Silver", "grace"),
            ("2025-04-30", 0, "Silver -> Bronze", "soft_landing"),
        ]
        assert rung

    async def test_works_in_batches_and_beside_another(self, shop: Shop, database: Database) -> None:
        people = [f"{index:032x}" for index in range(57)]
        await shop.send(*(order(f"o-{ref}", 550, "2024-03-01", ref=ref) for ref in people))

        async def all_down() -> bool:
            return {row["tier"] for row in await shop.whole_rows()} == {"Bronze"}

        async with ticking(shop, now=at("2025-09-01"), clocks=3):
            await until(all_down)
        assert {row["seq"] for row in await shop.whole_rows()} == {milliseconds(at("2025-09-01"))}
        assert await verify(database, shop.rules_by_store) == []

    async def test_ends_an_override_and_a_tag_on_time(self, shop: Shop) -> None:
        await shop.send(order("o-1", 10, "2024-06-30"))
        assert (await shop.customer())["next_check_at"] == at("2024-09-28", 0)
        async with ticking(shop, now=at("2024-09-28", 1)):
            await until(lambda: has_tags(shop, ASHA, ["inactive"]))

    async def test_leaves_what_is_not_due(self, shop: Shop) -> None:
        await shop.send(order("o-1", 550, "2024-06-01"))
        before = await shop.whole_rows()
        async with ticking(shop, now=at("2024-08-01")):
            await asyncio.sleep(0.5)
        assert await shop.whole_rows() == before

    async def test_adopts_changed_rules_when_it_starts(self, shop: Shop) -> None:
        await shop.send(order("o-1", 550, "2024-06-01"))
        shop.programme = Programme(
            currency="EUR", version="2024-02", tiers=(Tier("Basic", 0, 0), Tier("Plus", 100, 50))
        )
        async with ticking(shop, now=shop.now):
            await until(lambda: is_tier(shop, ASHA, "Plus"))
        assert (await shop.customer())["rule_version"] == "2024-02"


async def is_tier(shop: Shop, ref: str, tier: str) -> bool:
    return bool((await shop.customer(ref))["tier"] == tier)


async def has_tags(shop: Shop, ref: str, tags: list[str]) -> bool:
    return bool((await shop.customer(ref))["tags"] == tags)


class TestCustomerSource:
    async def news(self, shop: Shop, interval: float = 5) -> list[State]:
        source = CustomerSource(interval)
        async with shop.database.transaction() as session:
            return [s for s in await source.unpublished(session, 10_000) if s.event.store == shop.store]

    async def publish(self, shop: Shop, states: list[State]) -> None:
        async with shop.database.transaction() as session:
            await CustomerSource(5).published(session, states)

    async def test_tells_the_tier_with_its_spells(self, shop: Shop) -> None:
        await shop.live_through([order("o-1", 550, "2024-03-01")], at("2025-09-01"))
        (state,) = await self.news(shop)
        event = state.event
        assert isinstance(event, CustomerChanged)
        assert (event.customer_ref, event.tier, event.seq) == (ASHA, "Bronze", state.seq)
        assert [(spell.tier, spell.since.year) for spell in event.history] == [
            ("Bronze", 1970),
            ("Silver", 2024),
            ("Bronze", 2025),
        ]

    async def test_tells_of_somebody_new_in_the_base_tier(self, shop: Shop) -> None:
        await shop.send(answer(score=3))
        (state,) = await self.news(shop)
        assert isinstance(state.event, CustomerChanged)
        assert (state.event.tier, state.event.tags) == ("Bronze", ("detractor",))
        assert [spell.tier for spell in state.event.history] == ["Bronze"]

    async def test_says_nothing_of_who_is_only_claimed(self, shop: Shop) -> None:
        await shop.send(answer(verified=False))
        assert await self.news(shop) == []

    async def test_does_not_repeat_and_keeps_the_interval(self, shop: Shop) -> None:
        await shop.send(order("o-1", 100))
        await self.publish(shop, await self.news(shop))
        assert await self.news(shop) == []
        await shop.send(order("o-2", 500))
        assert await self.news(shop, interval=5) == []
        assert [state.seq for state in await self.news(shop, interval=0)] == [milliseconds(shop.now) + 1]

    async def test_a_change_while_publishing_is_told_later(self, shop: Shop) -> None:
        await shop.send(order("o-1", 100))
        states = await self.news(shop)
        await shop.send(order("o-2", 500))
        await self.publish(shop, states)
        assert [state.seq for state in await self.news(shop, interval=0)] == [milliseconds(shop.now) + 1]

    async def test_unpublish_sends_the_newest_state_again(self, shop: Shop) -> None:
        await shop.send(order("o-1", 100))
        states = await self.news(shop)
        await shop.send(order("o-2", 500))
        await self.publish(shop, await self.news(shop))
        async with shop.database.transaction() as session:
            await CustomerSource(5).unpublish(session, states)
        assert [state.seq for state in await self.news(shop)] == [milliseconds(shop.now) + 1]


class TestRebuildAndVerify:
    @pytest.fixture
    async def damaged(self, shop: Shop) -> Shop:
        await shop.send(order("o-1", 550), order("o-2", 700, ref=BEN))
        await shop.query(
            "UPDATE segmenter.customers SET tier = 'Gold', points = 9 WHERE store = :store AND ref = :ref"
            " RETURNING ref",
            ref=ASHA,
        )
        return shop

    async def test_verify_finds_what_is_not_the_fold(self, damaged: Shop) -> None:
        assert await verify(damaged.database, damaged.rules_by_store) == [CustomerKey(damaged.store, ASHA)]

    async def test_rebuild_mends_it_and_is_harmless_twice(self, damaged: Shop) -> None:
        seen: list[int] = []
        first = await rebuild(
            damaged.database, damaged.rules_by_store, clock=lambda: damaged.now, progress=seen.append
        )
        assert (first.seen, first.changed, seen) == (2, 1, [2])
        assert await verify(damaged.database, damaged.rules_by_store) == []
        before = await damaged.whole_rows()
        second = await rebuild(
            damaged.database, damaged.rules_by_store, damaged.store, clock=lambda: damaged.now
        )
        assert (second.seen, second.changed) == (2, 0)
        assert await damaged.whole_rows() == before

    async def test_rebuild_takes_more_customers_than_a_page(self, shop: Shop) -> None:
        people = [f"{index:032x}" for index in range(1203)]
        await shop.send(*(order(f"o-{ref}", 550, ref=ref) for ref in people))
        shop.programme = replace(shop.programme, version="2024-02")
        result = await rebuild(shop.database, shop.rules_by_store, clock=lambda: shop.now)
        assert (result.seen, result.changed) == (1203, 1203)
        assert len(await verify(shop.database, shop.rules_by_store)) == 0
