"""An erased customer leaves numbers, and never comes back; whoever comes later is somebody new."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from uuid import uuid4
from zlib import crc32

from services.segmenter import operations
from services.segmenter.customers.jobs import CustomerSource
from services.segmenter.facts.domain.records import OverrideRecord
from services.segmenter.facts.store import CustomerKey
from services.segmenter.operations import verify
from services.segmenter.tiers.folding import override
from shared.db import DeadLetter, Inbox
from shared.events.erasures import CustomerErased
from shared.events.responses import Customer
from shared.feedback.identity import is_erased
from tests.integration.segmenter.builders import (
    NOW,
    Sent,
    Shop,
    answer,
    at,
    closed,
    deliver,
    engage,
    opened,
    order,
    refund,
)

REF = "ada" * 10
PERSON = Customer(ref=REF, id="id-canary", email="canary@example.com", name="Name Canary", consent=True)
WHEN = at("2024-05-20")


def erase(*refs: str, when: object = WHEN) -> Sent:
    event = CustomerErased(store="shop", customer_ref=refs[0], also=refs[1:], erased_at=when)  # type: ignore[arg-type]
    return Sent(event, f"erase-{refs}-{when}")


def plain(sent: Sent) -> Sent:
    """With an envelope's id that says nothing, as those of the product do."""
    return replace(sent, ce_id=f"ce-{crc32(sent.ce_id.encode())}")


def bought(name: str = "order-canary", value: int = 1600, when: str = "2024-05-01") -> Sent:
    return plain(order(name, value, when, customer=PERSON))


STORY = (
    bought(),
    plain(deliver("order-canary")),
    plain(refund("order-canary", 10, name="refund-canary")),
    answer(name="r-1", score=2, ref=REF, fingerprint="f"),
    plain(engage("engagement-canary", "review", ref=REF)),
    opened("case-1", "2024-05-02", ref=REF),
)


async def traces(shop: Shop) -> list[str]:
    rows = []
    for table in ("facts", "customers"):
        rows += await shop.query(f"SELECT t::text AS row FROM segmenter.{table} t WHERE store = :store")
    return [row["row"] for row in rows if "canary" in row["row"].lower() or REF in row["row"]]


def another(shop: Shop) -> Shop:
    return replace(shop, store=f"s{uuid4().hex[:12]}")


class TestAnErasure:
    async def test_leaves_tiers_and_takes_everything_else(self, shop: Shop) -> None:
        for event in STORY:
            await shop.send(event)
        record = OverrideRecord(REF, "Gold", NOW + timedelta(days=30), "canary", WHEN, "key")
        async with shop.database.transaction() as session:
            await override(
                session, CustomerKey(shop.store, REF), record, fact_id="o", rules_by_store=shop.rules_by_store
            )
        [before] = await shop.whole_rows()
        assert await traces(shop)
        assert await shop.send(erase(REF)) == {"ok": 1, "duplicate": 0}
        assert await traces(shop) == []
        [after] = await shop.whole_rows()
        assert is_erased(after["ref"])
        for name in ("tier", "points", "tags", "since", "known"):
            assert after[name] == before[name]
        rows = await shop.rows()
        assert await shop.send(erase(REF)) == {"ok": 0, "duplicate": 1}
        assert await shop.rows() == rows
        assert not await verify(shop.database, shop.rules_by_store, shop.store)

    async def test_is_the_same_whatever_comes_first(self, shop: Shop) -> None:
        for events in permutations((*STORY[:3], erase(REF))):
            one = another(shop)
            for event in events:
                await one.send(event)
            assert await traces(one) == [], [type(e.event).__name__ for e in events]

    async def test_replayed_from_the_start_brings_nobody_back(self, shop: Shop) -> None:
        await shop.send(*STORY)
        await shop.send(erase(REF))
        rows = await shop.rows()
        await shop.send(*STORY, erase(REF))
        for event in STORY:
            await shop.send(event)
        assert await shop.rows() == rows

    async def test_takes_dead_letters_about_an_answer(self, shop: Shop) -> None:
        said = shop.mine(answer(name="r-1", score=2, ref=REF))
        amended = DeadLetter(
            "t", 0, crc32(shop.store.encode()), "x", "x", said.event.key(), b"canary", (), ""
        )
        async with shop.database.transaction() as session:
            await Inbox("segmenter", "closeloop-segmenter").bury(session, [amended])
        await shop.send(said)
        await shop.send(erase(REF))
        [letter] = await shop.query(
            """SELECT key, value FROM segmenter.dead_letters WHERE "offset" = :offset AND :store <> ''""",
            offset=amended.offset,
        )
        assert letter == {"key": None, "value": None}

    async def test_of_a_case_that_is_told_under_another_surrogate(self, shop: Shop) -> None:
        await shop.send(*STORY)
        await shop.send(erase(REF))
        people = len(await shop.whole_rows())
        await shop.send(closed("case-1", "2024-05-21", ref="erased:another"))
        await shop.send(closed("case-1", "2024-05-22", ref=REF))
        await shop.send(closed("case-9", "2024-05-22", ref="erased:another"))
        assert len(await shop.whole_rows()) == people
        assert await traces(shop) == []

    async def test_what_comes_later_is_from_somebody_new(self, shop: Shop) -> None:
        new = bought("new", 100, "2024-05-21")
        for events in permutations((bought(), new, erase(REF))):
            one = another(shop)
            for event in events:
                await one.send(event)
            row = await one.customer(REF)
            assert (row["points"], row["customer_id"], row["name"]) == (100, "id-canary", "Name Canary")
            assert {r["id"] for r in await one.query("SELECT id FROM segmenter.facts WHERE store = :store")
                    if not is_erased(r["id"])} == {"new"}  # fmt: skip
            await one.send(deliver("new", "2024-05-22"))
            await one.send(erase(REF, when=at("2024-05-25")))
            assert await traces(one) == []


class TestWhatOthersAreTold:
    async def test_is_the_end_and_then_somebody_new(self, shop: Shop) -> None:
        await shop.send(bought())
        await shop.send(erase(REF))
        await shop.send(bought("new", 100, "2024-05-21"), now=NOW + timedelta(seconds=1))
        source = CustomerSource(0)
        told = []
        for _ in range(3):
            async with shop.database.transaction() as session:
                states = [s for s in await source.unpublished(session, 10_000) if s.event.store == shop.store]
                await source.published(session, states)
            told += [(s.event.erased, s.ends, s.event.customer_ref == REF, s.seq) for s in states]  # type: ignore[attr-defined]
        assert [row[:3] for row in told] == [(True, True, True), (False, False, True)]
        assert told[0][3] < told[1][3]

    async def test_once_more_is_nothing_about_whoever_was_erased(self, shop: Shop) -> None:
        await shop.send(bought())
        await shop.send(erase(REF))
        assert await operations.republish(shop.database, shop.store) == 0
        assert await operations.count_unpublished(shop.database, shop.store) == 0
