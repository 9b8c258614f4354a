"""An erased customer's cases stay as numbers; nobody finds the person, and no old event brings one back."""

from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

from sqlalchemy import text

from services.notifier.cases.casework import Casework
from services.notifier.cases.domain.actions import Close, Note
from services.notifier.cases.domain.case import Outcome
from services.notifier.cases.store import erasing
from services.notifier.report import store
from services.notifier.report.store import Scope
from shared.db import Database
from shared.db.erasures import Erasures
from shared.events import Received
from shared.events.customers import CustomerChanged
from shared.events.erasures import CustomerErased
from shared.events.responses import AboutOrder, Customer, FollowUp
from shared.feedback.identity import is_erased
from tests.integration.notifier.desk import Desk, received

REF = "person-1"
PERSON = Customer(ref=REF, id="id-canary", email="canary@example.com", name="Name Canary")


def canary(desk: Desk, score: int = 2, **given: Any) -> Received:
    said = {
        "comment": "canary comment",
        "answers": (FollowUp(question="why", value="canary"),),
        "order": AboutOrder(id="order-canary", value=Decimal(9), currency="EUR"),
        "segments": {"any": "canary"},
    }
    event = desk.submitted(score, customer=REF, **(said | given)).event
    return received(event.model_copy(update={"customer": PERSON}))


def erase(desk: Desk, *, minutes: float = 5, refs: tuple[str, ...] = (REF,)) -> Received:
    at = desk.now + timedelta(minutes=minutes)
    return received(CustomerErased(store=desk.store, customer_ref=refs[0], also=refs[1:], erased_at=at))


async def traces(desk: Desk) -> list[str]:
    found = [str(row) for rows in await desk.everything() for row in rows]
    return [row for row in found if "canary" in row.lower() or REF in row]


class TestAnErasure:
    async def test_leaves_the_case_and_takes_everything_else(self, database: Database, desk: Desk) -> None:
        await desk.apply(canary(desk), desk.standing(customer=REF))
        await desk.apply(desk.amended(comment="canary again"))
        case = await desk.case()
        work = Casework(database, desk.policies)
        await work.act(desk.store, case["case_id"], "user:a@x", Note("canary, said the agent"))
        await desk.rows(
            "UPDATE notifier.deliveries SET last_reply = 'canary' WHERE store = :store RETURNING 1"
        )
        assert await traces(desk)
        assert await desk.apply(erase(desk)) == {"ok": 1}
        assert await traces(desk) == []
        after = await desk.case()
        assert is_erased(after["customer_ref"])
        assert (after["status"], after["dismissed_because"], after["words"]) == ("dismissed", "erased", "")
        assert await desk.history() == ["opened", "answer_amended", "noted", "dismissed"]
        assert {d["state"] for d in await desk.deliveries()} == {"cancelled"}
        assert (await desk.emitted())[-1] == "case.closed"

    async def test_takes_what_somebody_claimed_in_the_persons_name(self, desk: Desk) -> None:
        await desk.apply(canary(desk, verified=False))
        await desk.apply(erase(desk))
        assert await traces(desk) == []
        assert (await desk.case())["dismissed_because"] == "erased"

    async def test_by_a_release_that_knew_no_claims_takes_those_that_come_late(
        self, database: Database, desk: Desk
    ) -> None:
        ledger = Erasures("notifier")
        async with database.transaction() as session:
            await ledger.hold(session)
            await ledger.enter(session, {(desk.store, REF): desk.now + timedelta(minutes=5)})
        await desk.apply(canary(desk, verified=False), desk.amended(comment="canary again"))
        assert await traces(desk) == []
        assert await desk.rows("SELECT 1 FROM notifier.cases WHERE store = :store") == []

    async def test_makes_up_nothing_in_the_history(self, database: Database, desk: Desk) -> None:
        await desk.apply(canary(desk))
        work, case_id = Casework(database, desk.policies), (await desk.case())["case_id"]
        for command in (Note("canary, said the agent"), Close("her canary", Outcome.RECOVERED)):
            await work.act(desk.store, case_id, "user:a@x", command)
        await desk.apply(erase(desk))
        details = {row.entry.what: row.entry.detail for row in (await work.show(desk.store, case_id)).history}
        assert details["noted"] == {}
        assert details["closed"] == {"root_cause": "Other", "outcome": "recovered"}

    async def test_leaves_nobody_to_be_told_what_was_done(self, database: Database, desk: Desk) -> None:
        await desk.apply(canary(desk))
        work = Casework(database, desk.policies)
        await work.act(
            desk.store, (await desk.case())["case_id"], "user:a@x", Close("Delivery", Outcome.RECOVERED)
        )
        start, end = desk.now - timedelta(days=1), desk.now + timedelta(days=1)
        async with database.transaction() as session:
            assert await store.count_customers_to_inform(session, Scope(desk.store), start, end) == {
                "Delivery": 1
            }
        await desk.apply(erase(desk))
        async with database.transaction() as session:
            scope = Scope(desk.store)
            assert await store.count_customers_to_inform(session, scope, start, end) == {}
            assert await store.customers_to_inform(session, scope, "Other", start, end, limit=9) == []

    async def test_twice_changes_nothing(self, desk: Desk) -> None:
        await desk.apply(canary(desk))
        one = erase(desk)
        await desk.apply(one)
        everything = await desk.everything()
        assert await desk.apply(one) == {"duplicate": 1}
        assert await desk.everything() == everything

    async def test_is_complete_whatever_comes_first(self, desk: Desk) -> None:
        events = (
            canary(desk),
            desk.amended(comment="canary again", score=1),
            desk.standing(customer=REF, seq=int(desk.now.timestamp() * 1000)),
            erase(desk),
        )
        for order in permutations(events):
            one = Desk(desk.database, now=desk.now)
            renamed = [_of(one, event) for event in order]
            await one.one_by_one(renamed)
            assert await traces(one) == []
            await one.one_by_one(renamed)
            assert await traces(one) == []
            assert await one.live() == []
            another = Desk(desk.database, now=desk.now)
            await another.apply(*[_of(another, event) for event in order])
            assert await traces(another) == []

    async def test_takes_what_was_said_under_an_answer_of_somebody_else(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2, customer="other"), canary(desk, 1))
        await desk.apply(erase(desk))
        assert await traces(desk) == []
        assert (await desk.case())["customer_ref"] == "other"

    async def test_old_news_of_the_customer_is_forgotten(self, desk: Desk) -> None:
        moment = int((desk.now + timedelta(minutes=5)).timestamp() * 1000)
        end = CustomerChanged(store=desk.store, customer_ref=REF, seq=moment + 9, tier="", erased=True)
        late = desk.standing(customer=REF, seq=moment + 5)
        for order in permutations((late, received(end), erase(desk))):
            if order.index(late) > [o.event for o in order].index(end):
                continue
            one = Desk(desk.database, now=desk.now)
            await one.one_by_one([_of(one, event) for event in order])
            assert await traces(one) == []

    async def test_reads_no_other_answers_however_many_there_are(self, desk: Desk) -> None:
        await desk.apply(
            desk.submitted(2, customer="other"), canary(desk, 1), canary(desk, response_id="r-2")
        )
        until = {(desk.store, REF): desk.now + timedelta(minutes=5)}
        async with desk.database.transaction() as session:
            await session.execute(text(MANY_ANSWERS), {"store": desk.store})
            await session.execute(text("ANALYZE notifier.answers"))
            before = (await session.execute(text(READ_BY_SCANS))).scalar_one()

            said = await erasing.answers_until(session, until)

            assert (await session.execute(text(READ_BY_SCANS))).scalar_one() == before
            await session.rollback()
        assert [one.key[1] for one in said] == ["r-1", "r-2"]


MANY_ANSWERS = """INSERT INTO notifier.answers (store, response_id, customer_ref, revisions, received_at)
    SELECT :store, 'of-' || n, 'other-' || n, '{}', now() FROM generate_series(1, 20000) n"""
READ_BY_SCANS = """SELECT seq_tup_read FROM pg_stat_xact_user_tables
    WHERE relid = 'notifier.answers'::regclass"""


class TestWhatComesAfterIt:
    async def test_the_same_answer_sent_once_more_brings_nobody_back(self, desk: Desk) -> None:
        for order in permutations((canary(desk), erase(desk))):
            one = Desk(desk.database, now=desk.now)
            await one.one_by_one([_of(one, event) for event in order])
            one.now = desk.now + timedelta(minutes=9)
            await one.apply(canary(one))
            assert await traces(one) == []
            assert await one.live() == []

    async def test_a_new_low_answer_is_a_new_case_of_somebody_new(self, desk: Desk) -> None:
        later = desk.now + timedelta(minutes=9)
        await desk.apply(canary(desk), erase(desk))
        desk.now = later
        await desk.apply(canary(desk, response_id="r-2"))
        [case] = await desk.live()
        assert case["customer_ref"] == REF
        await desk.apply(erase(desk))
        assert await traces(desk) == []
        assert await desk.live() == []


def _of(desk: Desk, one: Received) -> Received:
    event = one.event.model_copy(update={"store": desk.store})
    return received(event, one.envelope.id)
