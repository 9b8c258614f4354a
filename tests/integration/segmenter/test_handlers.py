"""Facts in any order, any number of times, end in the same rows."""

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from services.segmenter.handlers import HANDLERS, NotApplicable, bound
from services.segmenter.jobs import rebuild, verify
from shared.db import Database
from shared.events.responses import Customer, Identity

from .builders import (
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
        assert {type(sent.event) for sent in MIXED} == set(HANDLERS)


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
        assert await verify(database, other.book) == []


class TestPoints:
    @pytest.mark.parametrize("score", [0, 6, 8, 10])
    async def test_an_answer_gives_20_whatever_its_score(self, shop: Shop, score: int) -> None:
        await shop.send(answer(score=score))
        assert (await shop.customer())["points"] == 20

    async def test_a_test_answer_gives_none(self, shop: Shop) -> None:
        await shop.send(answer(test=True))
        row = await shop.customer()
        assert (row["points"], row["tags"]) == (0, [])

    async def test_a_retracted_answer_loses_them(self, shop: Shop) -> None:
        await shop.send(answer(score=2), answer("r-2", score=2, when="2024-05-02"))
        await shop.send(retract("r-2"))
        assert (await shop.customer())["points"] == 20

    async def test_an_anonymous_or_confidential_answer_is_nobodys(self, shop: Shop) -> None:
        person = Customer(ref=ASHA)
        await shop.send(answer("r-1", identity=Identity.CONFIDENTIAL, customer=person))
        await shop.send(answer("r-2", identity=Identity.ANONYMOUS, customer=person))
        people, facts = await shop.rows()
        assert people == []
        assert [fact["ref"] for fact in facts] == [None, None]

    async def test_cents_add_up_before_they_become_points(self, shop: Shop) -> None:
        await shop.send(order("o-1", "0.50"), order("o-2", "0.50"))
        assert (await shop.customer())["points"] == 1

    async def test_an_order_in_another_currency_gives_none(self, shop: Shop) -> None:
        await shop.send(order("o-1", 600, currency="USD"))
        assert (await shop.customer())["points"] == 0

    async def test_nobody_gives_answers_by_the_engagement_route(self, shop: Shop) -> None:
        await shop.send(engage("e-1", "answer"))
        assert (await shop.customer())["points"] == 0


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


class TestRefunds:
    async def test_of_an_unknown_order_waits_and_is_worth_nothing(self, shop: Shop) -> None:
        await shop.send(refund("o-1", 300))
        people, facts = await shop.rows()
        assert people == []
        assert facts[0]["ref"] is None
        await shop.send(order("o-1", 600))
        assert (await shop.customer())["points"] == 300

    async def test_never_take_more_than_their_order(self, shop: Shop) -> None:
        await shop.send(order("o-1", 100), order("o-2", 50), refund("o-1", 500))
        assert (await shop.customer())["points"] == 50

    async def test_of_two_orders_may_have_the_same_id(self, shop: Shop) -> None:
        await shop.send(order("o-1", 100), order("o-2", 100), refund("o-1", 10), refund("o-2", 10))
        assert (await shop.customer())["points"] == 180


class TestContact:
    async def test_is_what_the_latest_event_says(self, shop: Shop) -> None:
        await shop.send(order("o-2", 1, "2024-05-02", person="Asha Rao"))
        await shop.send(order("o-1", 1, "2024-05-01", person="Asha"))
        row = await shop.customer()
        assert (row["name"], row["email"], row["customer_id"]) == ("Asha Rao", "a@example.com", "id-a")

    async def test_is_not_believed_from_a_browser(self, shop: Shop) -> None:
        liar = answer("r-2", verified=False, customer=Customer(ref=ASHA, id="id-a", email="evil@example.com"))
        await shop.send(liar)
        row = await shop.customer()
        assert (row["known"], row["email"], row["seq"]) == (False, None, 0)
        await shop.send(answer("r-1"))
        row = await shop.customer()
        assert (row["known"], row["email"], row["points"]) == (True, "a@example.com", 20)

    async def test_stands_nowhere_else(self, shop: Shop) -> None:
        await shop.send(*MIXED)
        facts = (await shop.rows())[1]
        assert "example.com" not in str(facts)
        assert "Asha" not in str(facts)


class TestSeq:
    async def test_rises_with_tier_and_tags_but_not_with_points(self, shop: Shop) -> None:
        seqs = []
        for sent in (
            order("o-1", 100, "2024-05-01"),  # new
            engage("e-1", "review"),
            order("o-2", 100, "2024-05-02"),  # repeat_buyer
            order("o-3", 100, "2024-05-03"),
            order("o-4", 200, "2024-05-04"),  # Silver
            answer(score=9),  # promoter
            answer("r-2", score=10, when="2024-05-02"),
        ):
            await shop.send(sent)
            seqs.append((await shop.customer())["seq"])
        first = milliseconds(shop.now)
        assert seqs == [first + changes for changes in (0, 0, 1, 1, 2, 3, 3)]

    async def test_is_above_whatever_a_restored_database_forgot(self, shop: Shop) -> None:
        """Consumers ignore a lower one than they heard."""
        await shop.send(order("o-1", 100, "2024-05-01"))
        later = shop.now + timedelta(seconds=1)
        await shop.send(order("o-2", 500, "2024-05-02"), now=later)
        assert (await shop.customer())["seq"] == milliseconds(later)


WORKED = {
    "H1 Asha": (
        [order("1", 300, "2024-01-10"), order("2", 250, "2024-03-01"), order("3", 1000, "2024-06-15")],
        "2027-01-01",
        [
            ("2024-03-01", 550, "Bronze -> Silver", "upgrade"),
            ("2024-06-15", 1550, "Silver -> Gold", "upgrade"),
            ("2025-06-15", 0, "Gold -> Gold", "grace"),
            ("2025-08-14", 0, "Gold -> Silver", "soft_landing"),
            ("2026-08-14", 0, "Silver -> Silver", "grace"),
            ("2026-10-13", 0, "Silver -> Bronze", "soft_landing"),
        ],
    ),
    "H2 Ben": (
        [order("1", 510, "2024-02-01"), order("2", 430, "2024-09-01")],
        "2025-06-01",
        [
            ("2024-02-01", 510, "Bronze -> Silver", "upgrade"),
            ("2025-01-31", 430, "Silver -> Silver", "renewal"),
        ],
    ),
    "H3 Chen": (
        [order("1", 1600, "2024-01-15"), order("2", 1100, "2024-11-01"), order("3", 150, "2025-02-05")],
        "2025-06-01",
        [
            ("2024-01-15", 1600, "Bronze -> Gold", "upgrade"),
            ("2025-01-14", 1100, "Gold -> Gold", "grace"),
            ("2025-02-05", 1250, "Gold -> Gold", "renewal_in_grace"),
        ],
    ),
    "H4 Dee": (
        [order("1", 600, "2024-05-01"), refund("1", 300, "2024-05-06")],
        "2024-06-01",
        [
            ("2024-05-01", 600, "Bronze -> Silver", "upgrade"),
            ("2024-05-06", 300, "Silver -> Bronze", "refund"),
        ],
    ),
    "H5 Eli": (
        [order("1", 550, "2024-03-01"), opened("c", "2025-04-20"), closed("c", "2025-05-10")],
        "2025-12-01",
        [
            ("2024-03-01", 550, "Bronze -> Silver", "upgrade"),
            ("2025-03-01", 0, "Silver -> Silver", "grace"),
            ("2025-04-30", 0, "Silver -> Silver", "hold"),
            ("2025-06-09", 0, "Silver -> Bronze", "soft_landing"),
        ],
    ),
    "H6 Fay": (
        [order("1", 4200, "2024-01-01"), order("2", 100, "2024-12-15")],
        "2025-04-01",
        [
            ("2024-01-01", 4200, "Bronze -> Platinum", "upgrade"),
            ("2024-12-31", 100, "Platinum -> Platinum", "grace"),
            ("2025-03-01", 100, "Platinum -> Gold", "soft_landing"),
        ],
    ),
    "H7 Gus": (
        [answer(f"r-{day}", when=f"2024-01-{day:02}") for day in range(1, 31)]
        + [order("1", 150, "2024-01-31"), order("2", 50, "2024-02-10")],
        "2024-06-01",
        [("2024-02-10", 500, "Bronze -> Silver", "upgrade")],
    ),
}


class TestWorkedHistories:
    @pytest.mark.parametrize(("events", "until", "expected"), WORKED.values(), ids=WORKED)
    async def test_as_they_happen_with_the_clock(
        self,
        shop: Shop,
        database: Database,
        events: list[Sent],
        until: str,
        expected: list[tuple[str, int, str, str]],
    ) -> None:
        await shop.live_through(events, at(until))
        assert await shop.story() == expected
        assert await verify(database, shop.book) == []

    @pytest.mark.parametrize(("events", "until", "expected"), WORKED.values(), ids=WORKED)
    async def test_backwards_in_one_batch_long_after(
        self, shop: Shop, events: list[Sent], until: str, expected: list[tuple[str, int, str, str]]
    ) -> None:
        await shop.send(*reversed(events), now=at(until))
        assert await shop.story() == expected


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
        assert await verify(database, shop.book) == []

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
            assert await verify(database, shop.book) == []


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
        handle = bound({}, lambda: shop.now, b"secret")[type(order("o-1", 600).event)]
        for _ in range(2):
            async with shop.database.transaction() as session:
                await handle(session, [shop.mine(order("o-1", 600, person="Asha")).received()])
        row = await shop.customer()
        assert (row["tier"], row["name"], row["seq"]) == (None, "Asha", 0)
        await rebuild(shop.database, shop.book, clock=lambda: shop.now)
        row = await shop.customer()
        assert (row["tier"], row["seq"]) == ("Silver", milliseconds(shop.now))
