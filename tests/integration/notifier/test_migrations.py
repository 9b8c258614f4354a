"""What only the database can promise, and what of the domain its schema repeats: both must say the same."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.notifier.cases.domain.case import Case, Entry, Part, Priority, Status
from services.notifier.cases.store import cases, writing
from services.notifier.cases.store.writing import Added, HistoryRow
from services.notifier.deliveries import store as deliveries
from shared.events import new_id
from tests.integration.notifier.desk import Desk

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
