"""What only the database can promise, and what of the domain its schema repeats: both must say the same."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import services.notifier
from services.notifier.cases.domain.case import Case, Entry, Part, Priority, Status
from services.notifier.cases.store import cases, writing
from services.notifier.cases.store.writing import Added, HistoryRow
from services.notifier.deliveries import store as deliveries
from shared.events import new_id
from shared.events.erasures import CustomerErased
from shared.feedback.identity import is_erased
from tests.integration.notifier.desk import Desk, received

(_FILE,) = (Path(services.notifier.__file__).parent / "migrations").glob("*_claimed.py")
CLAIMED: str = import_module(f"services.notifier.migrations.{_FILE.stem}").CLAIMED
WAITS_FOR_ME = """SELECT EXISTS (
    SELECT FROM pg_locks WHERE NOT granted AND transactionid = CAST(pg_current_xact_id() AS xid))"""

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def a_case(desk: Desk, status: Status = Status.OPEN, *, customer: str = "c-1") -> Case:
    case_id = new_id()
    return Case(
        case_id=case_id,
        store=desk.store,
        customer_ref=customer,
        response_id=f"r-{case_id}",
        status=status,
        priority=Priority.NORMAL,
        rule="default",
        config_version="v",
        verified=True,
        opened_at=NOW,
        first_contact_due_at=NOW + timedelta(hours=24),
        resolve_due_at=NOW + timedelta(hours=72),
        resolve_hours=72,
    )


async def add(desk: Desk, **added: Any) -> None:
    async with desk.database.transaction() as session:
        await writing.add(session, Added(**added))


class TestOneLiveCase:
    """The unique index `cases_one_live` keeps one open case for one customer."""

    @pytest.mark.parametrize("status", Status)
    async def test_a_second_one_is_refused_in_every_state_that_is_live(
        self, desk: Desk, status: Status
    ) -> None:
        await add(desk, cases=[a_case(desk, status)])
        if a_case(desk, status).live:
            with pytest.raises(IntegrityError, match="cases_one_live"):
                await add(desk, cases=[a_case(desk)])
        else:
            await add(desk, cases=[a_case(desk)])

    async def test_is_counted_by_customer_and_store(self, desk: Desk) -> None:
        elsewhere = Desk(desk.database)
        await add(desk, cases=[a_case(desk), a_case(desk, customer="c-2"), a_case(elsewhere)])


class TestOnceOnly:
    async def test_an_answer_has_one_case(self, desk: Desk) -> None:
        one, other = a_case(desk), a_case(desk, customer="c-2")
        await add(desk, cases=[one, other])
        await add(desk, answers=[((desk.store, "r"), cases.Link(one.case_id, Part.OPENED), NOW)])
        with pytest.raises(IntegrityError, match="case_answers"):
            await add(desk, answers=[((desk.store, "r"), cases.Link(other.case_id, Part.OPENED), NOW)])

    async def test_an_escalation_step_is_taken_once(self, desk: Desk) -> None:
        case = a_case(desk)
        await add(desk, cases=[case])
        with pytest.raises(IntegrityError, match="case_steps"):
            async with desk.database.transaction() as session:
                for _ in range(2):
                    await writing.add_steps(session, [(case.case_id, "late", NOW)])

    async def test_a_case_is_told_once_under_a_reason_through_a_channel(self, desk: Desk) -> None:
        case = a_case(desk)
        first, again = (
            deliveries.NewDelivery(new_id(), desk.store, case.case_id, "opened", "alerts", "r", NOW, NOW, "")
            for _ in range(2)
        )
        await add(desk, cases=[case], deliveries=[first])
        await add(desk, deliveries=[again])
        assert [row["delivery_id"] for row in await desk.deliveries()] == [first.delivery_id]


class TestDueAt:
    """The list is read in the order of a generated column; `Case.due_at` shows the same moment."""

    async def test_is_what_the_domain_says_in_every_state(self, desk: Desk) -> None:
        waiting = a_case(desk)
        late = replace(waiting, resolve_due_at=NOW + timedelta(hours=1))
        states = [
            replace(case, case_id=new_id(), customer_ref=new_id(), status=status, first_contact_at=contact)
            for case, status, contact in product((waiting, late), Status, (None, NOW))
        ]
        await add(desk, cases=list(states))

        async with desk.database.transaction() as session:
            rows = await session.execute(
                text("""SELECT case_id, nullif(due_at, 'infinity') AS due_at FROM notifier.cases
                        WHERE store = :store"""),
                {"store": desk.store},
            )
            stored = {row.case_id: row.due_at for row in rows}
        assert stored == {case.case_id: case.due_at for case in states}


class TestSaving:
    async def test_a_case_is_read_as_it_was_written(self, desk: Desk) -> None:
        case = a_case(desk)
        await add(desk, cases=[case], history=[HistoryRow(case.case_id, NOW, "system", Entry("opened"))])
        changed = replace(case, status=Status.SNOOZED, before_snooze=Status.OPEN, snoozed_at=NOW, version=2)
        async with desk.database.transaction() as session:
            await cases.save(session, [changed])
            read = await cases.read(session, desk.store, case.case_id)
        assert read is not None
        assert replace(read, number=0, changed_at=None) == changed


class TestTheClaimed:
    """The migration that finds the answers of those who were only claimed."""

    async def test_are_moved_and_nobody_else(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(9, response_id="verified"))
        await desk.apply(desk.submitted(9, response_id="claimed", verified=False))
        await desk.apply(desk.submitted(9, response_id="mixed", verified=False))
        await desk.apply(desk.submitted(9, response_id="erased", customer="gone", verified=False))
        await desk.apply(desk.submitted(9, response_id="older", verified=False))
        at = desk.now + timedelta(minutes=5)
        await desk.apply(received(CustomerErased(store=desk.store, customer_ref="gone", erased_at=at)))
        async with desk.database.transaction() as session:
            # As the releases before stored them: under the customer, claimed or not; also bodies that lost.
            await session.execute(
                text("""UPDATE notifier.answers a SET customer_ref = replace(customer_ref, 'claimed:', ''),
                            revisions = CASE response_id
                                WHEN 'mixed' THEN
                                    revisions || (SELECT v.revisions FROM notifier.answers v
                                                  WHERE v.store = a.store AND v.response_id = 'verified')
                                WHEN 'older' THEN
                                    revisions || (SELECT CAST(replace(CAST(v.revisions AS text),
                                                                      '"verified": true, ', '') AS jsonb)
                                                  FROM notifier.answers v
                                                  WHERE v.store = a.store AND v.response_id = 'verified')
                                ELSE revisions END
                        WHERE store = :store"""),
                {"store": desk.store},
            )
            await session.execute(text(CLAIMED))
            rows = await session.execute(
                text("SELECT response_id, customer_ref FROM notifier.answers WHERE store = :store"),
                {"store": desk.store},
            )
            found = {row[0]: row[1] for row in rows}
            await session.rollback()
        assert is_erased(found.pop("erased"))
        assert found == {"verified": "c-1", "claimed": "claimed:c-1", "mixed": "c-1", "older": "c-1"}

    async def test_are_locked_as_consumers_lock_them(self, desk: Desk) -> None:
        for n in reversed(range(6)):
            await desk.apply(desk.submitted(9, response_id=f"r-{n}", verified=False))
        await desk.rows(
            "UPDATE notifier.answers SET customer_ref = 'c-1' WHERE store = :store RETURNING response_id"
        )
        async with desk.database.transaction() as consumer:
            await consumer.execute(
                text("""SELECT FROM notifier.answers WHERE store = :store AND response_id = 'r-0'
                        FOR UPDATE"""),
                {"store": desk.store},
            )
            migrating = asyncio.create_task(self.migrated(desk))
            while not (await consumer.execute(text(WAITS_FOR_ME))).scalar_one():
                assert not migrating.done()
            await consumer.execute(
                text("SELECT FROM notifier.answers WHERE store = :store ORDER BY response_id FOR UPDATE"),
                {"store": desk.store},
            )
        await migrating

    async def migrated(self, desk: Desk) -> None:
        async with desk.database.transaction() as session:
            await session.execute(text(CLAIMED))
            await session.rollback()
