"""The metrics of cases, counted from rows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.notifier.deliveries import holds
from services.notifier.deliveries.holds import Why
from services.notifier.report.gauges import CaseGauges
from shared.db import Database
from tests.integration.notifier.desk import Desk
from tests.integration.notifier.past_cases import PastCases


def shown(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def breaches(clock: str) -> float:
    return shown("closeloop_case_sla_breaches_total", clock=clock)


@pytest.fixture
async def past(desk: Desk) -> PastCases:
    """Cases of other tests are done with, so that figures of all stores are those of this one."""
    async with desk.database.transaction() as session:
        await session.execute(
            text("UPDATE notifier.cases SET status = 'dismissed' WHERE status NOT IN ('closed', 'dismissed')")
        )
    return PastCases(desk, now=datetime.now(UTC))


@pytest.fixture
async def figures(database: Database, past: PastCases) -> AsyncIterator[CaseGauges]:
    """A replica that has counted what was there."""
    job = CaseGauges(database, {"care"}, lag_seconds=0)
    await job.work()
    yield job
    job.idle()


class TestOpenCases:
    async def test_by_priority_team_and_age_with_few_labels(
        self, past: PastCases, figures: CaseGauges
    ) -> None:
        await past.case(opened=past.ago(hours=1), team="care", priority="urgent")
        await past.case(opened=past.ago(hours=5), team="care", priority="urgent")
        await past.case(opened=past.ago(days=8), team="gone")
        await past.case(opened=past.ago(days=2))
        await past.case(opened=past.ago(days=2), closed=past.ago(days=1))
        await figures.work()

        def cases(priority: str, team: str, age: str) -> float:
            return shown("closeloop_cases_open", priority=priority, team=team, age=age)

        assert cases("urgent", "care", "under_4h") == 1
        assert cases("urgent", "care", "4h_to_1d") == 1
        assert cases("normal", "other", "over_7d") == 1
        assert cases("normal", "none", "1d_to_3d") == 1
        [family] = [f for f in REGISTRY.collect() if f.name == "closeloop_cases_open"]
        assert sum(sample.value for sample in family.samples) == 4

    async def test_are_shown_by_the_replica_that_counts_alone(
        self, past: PastCases, figures: CaseGauges
    ) -> None:
        await past.case(opened=past.ago(hours=1))
        await figures.work()
        figures.idle()
        [family] = [f for f in REGISTRY.collect() if f.name == "closeloop_cases_open"]
        assert family.samples == []


class TestBreaches:
    async def test_each_is_counted_once_also_by_the_next_replica(
        self, past: PastCases, figures: CaseGauges
    ) -> None:
        before = breaches("first_contact"), breaches("resolve")
        await past.case(opened=past.ago(hours=3))
        late = await past.case(opened=past.ago(hours=5))
        await past.case(opened=past.ago(hours=50), contacted_after=1)
        await past.case(opened=past.ago(hours=50), contacted_after=5, closed=past.ago(hours=49))
        for _ in range(2):
            await figures.work()
        assert (breaches("first_contact"), breaches("resolve")) == (before[0] + 2, before[1] + 1)

        await past.set(late, first_contact_at=past.now, status="contacted")
        figures.idle()
        successor = CaseGauges(past.desk.database, set(), lag_seconds=0)
        await successor.work()
        assert (breaches("first_contact"), breaches("resolve")) == (before[0] + 2, before[1] + 1)

    async def test_a_case_opened_again_may_be_late_again(self, past: PastCases, figures: CaseGauges) -> None:
        before = breaches("resolve")
        case_id = await past.case(opened=past.ago(days=5), contacted_after=1)
        await figures.work()
        await past.set(case_id, status="reopened", reopened=1, resolve_due_at=past.ago(hours=1))
        for _ in range(2):
            await figures.work()
        assert breaches("resolve") == before + 2

    async def test_a_snoozed_case_is_not_late(self, past: PastCases, figures: CaseGauges) -> None:
        before = breaches("resolve")
        await past.case(opened=past.ago(days=5), contacted_after=1, status="snoozed")
        await figures.work()
        assert breaches("resolve") == before

    async def test_a_case_that_somebody_holds_is_counted_later(
        self, past: PastCases, figures: CaseGauges
    ) -> None:
        before = breaches("first_contact")
        case_id = await past.case(opened=past.ago(days=1))
        async with past.desk.database.transaction() as session:
            await session.execute(
                text("SELECT FROM notifier.cases WHERE case_id = :id FOR UPDATE"), {"id": case_id}
            )
            await figures.work()
            assert breaches("first_contact") == before
        await figures.work()
        assert breaches("first_contact") == before + 1


class TestMoments:
    async def test_first_contacts_closings_and_reopenings_are_counted_once(
        self, past: PastCases, figures: CaseGauges
    ) -> None:
        names = (
            "closeloop_case_first_contact_seconds_count",
            "closeloop_case_close_seconds_count",
        )
        before = [shown(name, priority="urgent") for name in names]
        reopened = shown("closeloop_case_reopened_total")
        past.now = datetime.now(UTC)
        case_id = await past.case(
            opened=past.ago(hours=2), contacted_after=2, closed=past.now, priority="urgent"
        )
        await past.entry(case_id, "contacted", past.now)
        await past.entry(case_id, "reopened", past.now)
        for _ in range(2):
            await figures.work()

        assert [shown(name, priority="urgent") for name in names] == [before[0] + 1, before[1] + 1]
        assert shown("closeloop_case_reopened_total") == reopened + 1
        assert shown("closeloop_case_close_seconds_bucket", priority="urgent", le="7200.0") >= 1


class TestAHold:
    async def test_is_shown_by_its_reason_until_it_ends(
        self, database: Database, figures: CaseGauges
    ) -> None:
        async with database.transaction() as session:
            await holds.hold(session, Why.OPERATOR)
        try:
            await figures.work()
            assert held() == {"operator": 1.0, "restored": 0.0}
        finally:
            async with database.transaction() as session:
                await holds.release(session)
        await figures.work()
        assert held() == {"operator": 0.0, "restored": 0.0}
        figures.idle()
        assert held() == {}


def held() -> dict[str, float]:
    [family] = [metric for metric in REGISTRY.collect() if metric.name == "closeloop_deliveries_held"]
    return {sample.labels["reason"]: sample.value for sample in family.samples}
