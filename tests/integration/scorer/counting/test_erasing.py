"""An erased person's answers count as before, name nobody, and never come back; in any order."""

import json
from datetime import timedelta
from itertools import permutations

from services.scorer import operations
from services.scorer.counting.store import erasing
from services.scorer.counting.store.answers import read_answers
from shared.db import Inbox, asyncpg_connection
from shared.db.erasures import Erasures
from shared.db.inbox import DeadLetter
from shared.events.customers import CustomerChanged
from shared.events.erasures import CustomerErased
from shared.events.responses import Customer, FollowUp
from shared.feedback.identity import is_erased
from tests.integration.scorer.builders import DAY, NOON, Sent, Shop, amend, answer, tiers

PERSON = Customer(ref="person-1", id="id-canary", email="canary@example.com", name="Name Canary")
SAID = {
    "customer": PERSON,
    "comment": "canary comment",
    "answers": (FollowUp(question="why", value="canary reason"),),
    "segments": {"country": "NL", "undeclared": "canary"},
    "order": {"id": "order-canary", "value": "9.50", "currency": "EUR"},
}


MANY_CONFLICTS = """INSERT INTO scorer.conflicts (store, response_id, fingerprint, ce_id, body, respondent)
    SELECT $1, 'of-' || n, 'f', 'c', '{"received_at": "2020-01-01T00:00:00Z"}', 'other-' || n
    FROM generate_series(1, 20000) n"""
READ_BY_SCANS = """SELECT seq_tup_read FROM pg_stat_xact_user_tables
    WHERE relid = 'scorer.conflicts'::regclass"""


def erase(*refs: str, when: object = NOON + 5 * DAY) -> Sent:
    event = CustomerErased(store="shop", customer_ref=refs[0], also=refs[1:], erased_at=when)  # type: ignore[arg-type]
    return Sent(event, f"erase-{refs}-{when}")


def canary(name: str = "r-1", score: int = 2, when: object = NOON, **more: object) -> Sent:
    return answer(name, score, when, who="person-1", **(SAID | more))  # type: ignore[arg-type]


async def traces(shop: Shop) -> list[str]:
    """Every stored row of this store that still holds a word of the person."""
    rows = [
        *await shop.rows("SELECT a::text FROM scorer.answers a WHERE store = $1"),
        *await shop.rows("SELECT c::text FROM scorer.conflicts c WHERE store = $1"),
        *await shop.rows("SELECT r::text FROM scorer.respondents r WHERE store = $1"),
    ]
    return [row for (row,) in rows if "canary" in row or "person-1" in row]


class TestAnErasure:
    async def test_leaves_the_counts_and_takes_everything_else(self, shop: Shop) -> None:
        shop.configure(segments={"country": {"values": ["NL"]}})
        await shop.send(tiers("person-1", (NOON - DAY, "Gold")))
        await shop.send(canary(), canary("r-2", 9, NOON + DAY), answer("other", 10, who="bob"))
        await shop.send(amend(comment="canary again", answers=SAID["answers"]))
        before = await shop.buckets()
        assert await traces(shop)
        await shop.send_twice(erase("person-1"))
        assert await traces(shop) == []
        assert await shop.buckets() == before
        assert await shop.counts(NOON + 2 * DAY, segment="tier:Gold") == (1, 0, 1)
        assert await shop.counts(NOON + 2 * DAY, policy="latest", present=True) == (2, 0, 0)
        assert len(await shop.rows("SELECT 1 FROM scorer.answers WHERE store = $1")) == 3

    async def test_takes_the_bodies_that_lost_too(self, shop: Shop) -> None:
        await shop.send(answer("r-1", 9, who="bob", ce_id="a"), canary(ce_id="b"))
        await shop.send(canary("r-2"), answer("r-2", 1, comment="canary", ce_id="z", fingerprint="rival"))
        await shop.send(erase("person-1"))
        assert await traces(shop) == []
        assert (await shop.send(canary(ce_id="b"))) == {"duplicate": 1}

    async def test_reads_no_other_bodies_however_many_lost(self, shop: Shop) -> None:
        await shop.send(answer("r-1", 9, who="bob", ce_id="a"), canary(ce_id="b"))
        await shop.send(canary("r-2"), answer("r-2", 1, comment="canary", ce_id="z", fingerprint="rival"))
        until = {(shop.name, "person-1"): NOON + 5 * DAY}
        async with shop.database.transaction() as session:
            db = await asyncpg_connection(session)
            await db.execute(MANY_CONFLICTS, shop.name)
            await db.execute("ANALYZE scorer.conflicts")
            before = await db.fetchval(READ_BY_SCANS)

            rivals = await erasing.rivals_until(db, until, [(shop.name, "r-2")])

            assert await db.fetchval(READ_BY_SCANS) == before
            await session.rollback()
        assert [(one.response_id, one.respondent) for one in rivals] == [("r-1", "person-1"), ("r-2", "")]

    async def test_takes_several_names_of_one_person(self, shop: Shop) -> None:
        await shop.send(canary("by-id"), answer("by-mail", 9, who="person-mail", comment="canary"))
        await shop.send(erase("person-1", "person-mail"))
        assert await traces(shop) == []

    async def test_takes_what_somebody_claimed_in_the_persons_name(self, shop: Shop) -> None:
        await shop.send(canary(verified=False), canary("r-2", 9, NOON + DAY, verified=False, ce_id="z"))
        await shop.send(erase("person-1"))
        assert await traces(shop) == []
        await shop.send(canary("r-3", verified=False, received_at=NOON - DAY))
        assert await traces(shop) == []

    async def test_by_a_release_that_knew_no_claims_takes_those_that_come_late(self, shop: Shop) -> None:
        ledger, until = Erasures("scorer"), NOON + 5 * DAY
        async with shop.database.transaction() as session:
            await ledger.hold(session)
            await ledger.enter(session, {(shop.name, "person-1"): until})
        late = canary(verified=False), canary("r-2", 9, verified=False, ce_id="z")
        await shop.send(*late, answer("r-3", 9, who="bob", comment="kept", verified=False))
        assert await traces(shop) == []
        assert await shop.counts(NOON) == (2, 0, 1)
        assert len(await shop.rows("SELECT 1 FROM scorer.answers WHERE store = $1 AND body ~ 'kept'")) == 1
        new = canary("new", 9, NOON + 6 * DAY, verified=False)
        await shop.send(new)
        assert await traces(shop)

    async def test_by_a_release_that_knew_one_value_a_field_takes_the_others_too(self, shop: Shop) -> None:
        await shop.send(canary(), amend(comment="canary again", answers=SAID["answers"]))
        await shop.send(amend(comment="canary for another body", fingerprint="other", revision=2))
        [(amended,)] = await shop.rows("SELECT amended::text FROM scorer.answers WHERE store = $1")
        await shop.send(erase("person-1"))
        everything = json.dumps(json.loads(amended)["all"])  # that release carries it along
        await shop.execute(
            f"""UPDATE scorer.answers SET amended = jsonb_set(amended, '{{all}}', $q${everything}$q$)
                WHERE store = $1"""
        )
        assert await traces(shop)
        async with shop.database.snapshot() as session:
            db = await asyncpg_connection(session)
            [found] = (await read_answers(db, [(shop.name, "r-1")])).values()
        assert {(r.field, r.value) for r in found.revisions} == {("comment", None), ("answers", None)}
        await operations.rebuild(shop.database, shop.config, store_name=shop.name)
        assert await traces(shop) == []
        assert await shop.counts(NOON) == (0, 0, 1)

    async def test_is_the_same_whatever_comes_first(self, shop: Shop) -> None:
        events = (canary(), amend(comment="canary again", score=3), erase("person-1"), canary("r-2", 9))
        results = []
        for order in permutations(events):
            one = Shop(shop.database, shop.folder)
            await one.send_each(*order)
            assert await traces(one) == []
            results.append((await one.counts(NOON + DAY), len(await one.buckets())))
        assert len(set(results)) == 1

    async def test_in_one_batch_with_what_it_erases(self, shop: Shop) -> None:
        await shop.send(canary(), erase("person-1"), amend(comment="canary again"))
        assert await traces(shop) == []
        assert await shop.counts(NOON) == (0, 0, 1)

    async def test_blanks_the_dead_letters_and_keeps_their_place(self, shop: Shop) -> None:
        inbox = Inbox("scorer", "closeloop-scorer")
        letter = DeadLetter("feedback.responses.v1", 0, 10**9, "handler_failed", "x", b"k", b"", (), "")
        raw = canary().received(0).raw.replace(b"person-1", shop.name.encode())
        async with shop.database.transaction() as session:
            await inbox.bury(session, [letter.__class__(**{**_fields(letter), "value": raw})])
        await shop.send(erase(shop.name))
        [(value, state)] = await shop.rows(
            """SELECT value, state FROM scorer.dead_letters WHERE "offset" = 1000000000 AND $1 <> ''"""
        )
        assert (value, state) == (None, "discarded")


class TestWhatComesAfterIt:
    async def test_an_old_event_brings_nobody_back(self, shop: Shop) -> None:
        await shop.send(canary())
        await shop.send(erase("person-1"))
        await shop.send(canary(), canary(ce_id="a-lower-one"), amend(comment="canary", revision=9))
        await shop.send(canary("late", 10))
        assert await traces(shop) == []
        assert await shop.counts(NOON) == (1, 0, 1)

    async def test_a_new_answer_is_from_somebody_new(self, shop: Shop) -> None:
        new = canary("new", 9, NOON + 6 * DAY)
        for order in permutations((canary(), new, erase("person-1"))):
            one = Shop(shop.database, shop.folder)
            await one.send_each(*order)
            rows = dict(await one.rows("SELECT response_id, respondent FROM scorer.answers WHERE store = $1"))
            assert rows["new"] == "person-1"
            assert is_erased(rows["r-1"])
            assert await one.counts(NOON + 7 * DAY, policy="latest", present=True) == (1, 0, 1)

    async def test_a_second_erasure_takes_what_came_since(self, shop: Shop) -> None:
        await shop.send(canary(), erase("person-1"), canary("new", 9, NOON + 6 * DAY))
        await shop.send_twice(erase("person-1", when=NOON + 9 * DAY))
        assert await traces(shop) == []
        assert await shop.counts(NOON + 7 * DAY) == (1, 0, 1)

    async def test_old_tiers_are_forgotten_in_any_order(self, shop: Shop) -> None:
        moment = int((NOON + 5 * DAY).timestamp() * 1000)
        old = tiers("person-1", (NOON - DAY, "Gold"), seq=moment - 5)
        late = tiers("person-1", (NOON - DAY, "Gold"), seq=moment + 5)
        said = {"store": "shop", "customer_ref": "person-1", "tier": "Bronze"}
        ended = CustomerChanged(**said, seq=moment + 9, erased=True)
        for place in range(4):
            one = Shop(shop.database, shop.folder)
            events = [old, late, Sent(ended, "ended")]
            events.insert(place, erase("person-1"))
            await one.send(tiers("person-1", (NOON - DAY, "Gold"), seq=moment - 9))
            await one.send(canary())
            await one.send_each(*events)
            assert await traces(one) == [], place
            await one.send_each(*events)
            assert await traces(one) == [], place
            assert await one.counts(NOON, segment="tier:Gold") == (0, 0, 1)

    async def test_the_books_balance(self, shop: Shop) -> None:
        await shop.send(canary(), canary("r-2", 9, NOON + timedelta(hours=1)), erase("person-1"))
        moved = await operations.rebuild(shop.database, shop.config, store_name=shop.name)
        assert moved == 0
        assert await shop.counts(NOON + DAY) == (1, 0, 1)


def _fields(letter: DeadLetter) -> dict[str, object]:
    return {name: getattr(letter, name) for name in DeadLetter.__slots__}
