"""Facts in any order, any number of times, end in the same rows."""

import random
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest

from services.segmenter.facts.handlers import NotApplicable
from services.segmenter.handlers import FACTS, handlers
from services.segmenter.operations import rebuild, verify
from shared.db import Database
from shared.events.responses import Customer
from tests.integration.segmenter.builders import (
    ASHA,
    BEN,
    Sent,
    Shop,
    answer,
    at,
    at_once,
    closed,
    deliver,
    engage,
    event_time,
    milliseconds,
    opened,
    order,
    refund,
    rescore,
    retract,
)

MIXED = [
    order("o-1", 300, "2024-01-10"),
    order("o-1", 900, "2024-01-11", ce_id="ce-o-1-rival"),
    order("o-2", "250.50", "2024-03-01", person="Asha"),
    order("o-2", "250.50", "2024-03-01", person="Asha A.", ce_id="ce-o-2-retry"),
    order("o-3", 1200, "2024-06-15", person="A. Rao"),
    deliver("o-1"),
    refund("o-3", 100, "2024-06-20"),
    refund("o-3", 999, "2024-06-20", ce_id="ce-o-3-rival"),
    refund("o-3", 50, "2024-06-21", name="f-2"),
    refund("o-unknown", 40),
    engage("e-1", "review"),
    engage("e-2", "app_install"),
    engage("e-3", "app_install"),
    engage("e-4", "word_of_mouth"),
    answer("r-1", score=9),
    answer("r-2", score=3, when="2024-05-20"),
    answer("r-2", score=10, when="2024-05-20", ce_id="ce-r-2-rival", ref=BEN),
    rescore("r-2", 8, revision=2),
    rescore("r-2", 1, revision=1),
    answer("r-3", score=2, when="2024-06-01"),
    retract("r-3"),
    rescore("r-4", 5),
    retract("r-5"),
    answer("r-6", test=True),
    answer("r-7", score=0, verified=False, when="2024-06-30"),
    answer("r-8", ref=None),
    order("o-b", 600, "2024-02-01", ref=BEN),
    refund("o-b", 300, "2024-02-06"),
    answer("r-b", ref=BEN, score=6),
    opened("c-1", "2024-05-20"),
    closed("c-1", "2024-05-25"),
    opened("c-1", "2024-06-02", reopened=True),
    opened("c-2", "2024-06-03", ref=None),
]


class TestAnyEvent:
    @pytest.mark.parametrize("sent", MIXED, ids=lambda sent: sent.ce_id)
    async def test_applied_twice_leaves_the_same_rows(self, shop: Shop, sent: Sent) -> None:
        await shop.send(*MIXED)
        before, whole = await shop.rows(), await shop.whole_rows()
        await shop.send(sent)
        await shop.send(sent, sent)
        assert await shop.rows() == before
        assert await shop.whole_rows() == whole

    @pytest.mark.parametrize("sent", MIXED, ids=lambda sent: sent.ce_id)
    async def test_applied_alone_twice_leaves_the_same_rows(self, shop: Shop, sent: Sent) -> None:
        await shop.send(sent)
        before, whole = await shop.rows(), await shop.whole_rows()
        await shop.send(sent)
        assert (await shop.rows(), await shop.whole_rows()) == (before, whole)

    def test_the_mixed_history_has_every_event_that_is_handled(self) -> None:
        assert {type(sent.event) for sent in MIXED} == set(FACTS)


class TestAnyOrder:
    @pytest.mark.parametrize("seed", range(40))
    async def test_ends_in_the_same_rows_with_repeats(
        self, database: Database, shop: Shop, seed: int
    ) -> None:
        await shop.send(*sorted(MIXED, key=event_time))
        expected = await shop.rows()
        dice = random.Random(seed)
        story = MIXED + dice.sample(MIXED, 8)
        dice.shuffle(story)
        other = Shop(database, f"s{uuid4().hex[:12]}")
        while story:
            size = dice.choice([1, 2, 5, 40])
            batch, story = story[:size], story[size:]
            await other.send(*batch)
        assert await other.rows() == expected
        assert await verify(database, other.rules_by_store) == []


class TestRivals:
    async def test_the_order_with_the_lowest_id_counts_and_the_other_is_a_conflict(self, shop: Shop) -> None:
        assert await shop.send(order("o-1", 900, ce_id="2")) == {"ok": 1}
        assert await shop.send(order("o-1", 100, ce_id="1")) == {"conflict": 1}
        assert await shop.send(order("o-1", 300, ce_id="3")) == {"conflict": 1}
        assert (await shop.customer())["points"] == 100
        (fact,) = (await shop.rows())[1]
        assert fact["body"]["conflict"] is True

    async def test_a_retry_with_the_same_content_is_a_duplicate(self, shop: Shop) -> None:
        await shop.send(answer(ce_id="2"))
        assert await shop.send(answer(ce_id="1")) == {"duplicate": 1}
        (fact,) = (await shop.rows())[1]
        assert fact["body"]["conflict"] is False

    async def test_an_order_that_moves_to_another_customer_leaves_the_first(self, shop: Shop) -> None:
        await shop.send(order("o-1", 600, ref=ASHA, ce_id="2"))
        await shop.send(order("o-1", 600, ref=BEN, ce_id="1"))
        assert [(await shop.customer(ref))["points"] for ref in (ASHA, BEN)] == [0, 600]


class TestWriters:
    async def test_of_the_same_customers_neither_deadlock_nor_lose(
        self, shop: Shop, database: Database
    ) -> None:
        people = [f"{index:032x}" for index in range(20)]

        def spend(writer: int, turn: int) -> list[Sent]:
            found = [order(f"o-{writer}-{turn}-{ref}", 1, ref=ref) for ref in people]
            random.Random(writer * 100 + turn).shuffle(found)
            return found

        async def write(writer: int) -> None:
            for turn in range(10):
                await shop.send(*spend(writer, turn))

        await at_once(*(write(writer) for writer in range(4)))
        assert {row["points"] for row in await shop.whole_rows()} == {40}
        assert await verify(database, shop.rules_by_store) == []

    async def test_of_one_newcomer_see_each_others_facts(self, database: Database) -> None:
        for _ in range(20):
            shop = Shop(database, f"s{uuid4().hex[:12]}")
            await at_once(
                shop.send(order("o-1", 600)),
                shop.send(opened("c-1", "2024-05-02")),
                shop.send(answer("r-1", verified=False)),
                shop.send(engage("e-1", "review")),
            )
            assert (await shop.customer())["points"] == 625
            assert await verify(database, shop.rules_by_store) == []


def changed(sent: Sent, **fields: object) -> Sent:
    return replace(sent, event=sent.event.model_copy(update=fields))


class TestAbsurd:
    @pytest.mark.parametrize(
        "sent",
        [
            changed(order("o-1", 1), placed_at=at("2024-05-01").replace(tzinfo=None)),
            changed(engage("e-1", "review"), engaged_at=at("9999-05-01")),
            changed(order("o-1", 1), value=Decimal("1e999999")),
            changed(refund("o-1", 1), amount=Decimal(-1)),
        ],
    )
    async def test_times_and_amounts_are_refused_before_anything_is_stored(
        self, shop: Shop, sent: Sent
    ) -> None:
        with pytest.raises(NotApplicable):
            await shop.send(sent)
        assert await shop.rows() == ([], [])


class TestStoreThatTheConfigurationLacks:
    async def test_keeps_its_facts_and_is_folded_when_it_comes_back(self, shop: Shop) -> None:
        handle = handlers({}, lambda: shop.now, b"secret")[type(order("o-1", 600).event)]
        for _ in range(2):
            async with shop.database.transaction() as session:
                await handle(session, [shop.mine(order("o-1", 600, person="Asha")).received()])
        row = await shop.customer()
        assert (row["tier"], row["name"], row["seq"]) == (None, "Asha", 0)
        await rebuild(shop.database, shop.rules_by_store, clock=lambda: shop.now)
        row = await shop.customer()
        assert (row["tier"], row["seq"]) == ("Silver", milliseconds(shop.now))


class TestContact:
    async def test_is_what_the_latest_event_says(self, shop: Shop) -> None:
        await shop.send(order("o-2", 1, "2024-05-02", person="Asha Rao"))
        await shop.send(order("o-1", 1, "2024-05-01", person="Asha"))
        row = await shop.customer()
        assert (row["name"], row["email"], row["customer_id"]) == ("Asha Rao", "a@example.com", "id-a")

    async def test_is_not_believed_from_a_browser(self, shop: Shop) -> None:
        liar = answer("r-2", verified=False, customer=Customer(ref=ASHA, id="id-a", email="evil@example.com"))
        await shop.send(liar)
        row = await shop.customer(ref=f"claimed:{ASHA}")
        assert (row["known"], row["email"], row["seq"]) == (False, None, 0)
        await shop.send(answer("r-1"))
        row = await shop.customer()
        assert (row["known"], row["email"], row["points"]) == (True, "a@example.com", 20)

    async def test_stands_nowhere_else(self, shop: Shop) -> None:
        await shop.send(*MIXED)
        facts = (await shop.rows())[1]
        assert "example.com" not in str(facts)
        assert "Asha" not in str(facts)
