"""What the report counts, on cases with a past; every number here is worked out by hand."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.cases.domain.case import Priority
from services.notifier.report import store
from services.notifier.report.csv import csv_of, rows_of
from services.notifier.report.domain import Share, named_period
from services.notifier.report.figures import Report, build_report
from services.notifier.report.query import ReportQuery
from services.notifier.report.store import Scope
from services.notifier.report.wording import ten_lines
from shared.feedback.comparison import Verdict
from tests.integration.notifier.desk import Desk
from tests.integration.notifier.past_cases import AMSTERDAM, PastCases


@pytest.fixture
def past(desk: Desk) -> PastCases:
    return PastCases(desk)


async def report(
    past: PastCases,
    period: str = "30d",
    *,
    team: str | None = None,
    priority: Priority | None = None,
    now: datetime | None = None,
) -> Report:
    now = now or past.now
    query = ReportQuery(past.desk.store, named_period(period, now, AMSTERDAM.zone), now, team, priority)
    async with past.desk.database.snapshot() as session:
        return await build_report(session, query, AMSTERDAM)


class TestClocks:
    async def test_median_nine_of_ten_bars_and_in_time(self, past: PastCases) -> None:
        for hours in (0.5, 1, 1.5, 3, 4, 5, 9, 17, 23, 30):
            await past.case(opened=past.ago(days=3), contacted_after=hours)
        figures = await report(past)

        # Between the 5th and the 6th: (4 + 5) / 2; the 9th and a tenth of the way to the 10th: 23 + 0.7.
        assert figures.contacts.median == pytest.approx(4.5 * 3600)
        assert figures.contacts.nine_of_ten == pytest.approx(23.7 * 3600)
        assert figures.contacts.bars == (1, 2, 1, 2, 1, 2, 1)
        assert figures.contacted_in_time == Share(5, 10)
        assert figures.resolved_in_time == Share(0, 10)

    async def test_a_clock_that_still_runs_has_decided_nothing(self, past: PastCases) -> None:
        await past.case(opened=past.ago(hours=1))
        await past.case(opened=past.ago(hours=5))
        figures = await report(past)

        assert figures.contacts.opened == 2
        assert figures.contacted_in_time == Share(0, 1)
        assert (figures.contacts.median, figures.contacts.contacted) == (None, 0)

    async def test_a_late_contact_stays_late_after_the_case_is_closed(self, past: PastCases) -> None:
        await past.case(opened=past.ago(days=3), contacted_after=6, closed=past.ago(days=2))
        await past.case(opened=past.ago(days=3), closed=past.ago(days=2))
        figures = await report(past)

        assert figures.contacted_in_time == Share(0, 2), "one late, one closed without a word after its clock"
        assert figures.resolved_in_time == Share(2, 2)

    async def test_dismissed_cases_have_no_clocks(self, past: PastCases) -> None:
        case_id = await past.case(opened=past.ago(days=3), status="dismissed")
        await past.entry(case_id, "dismissed", past.ago(days=2))
        figures = await report(past)

        assert (figures.contacts.opened, figures.ended.dismissed) == (1, 1)
        assert figures.contacted_in_time == Share(0, 0)
        assert figures.now.open == 0

    async def test_time_to_close_is_of_those_closed_in_the_period(self, past: PastCases) -> None:
        for days in (1, 2, 6):
            await past.case(opened=past.ago(days=days + 1), closed=past.ago(days=1))
        await past.case(opened=past.ago(days=50), closed=past.ago(days=40))
        figures = await report(past)

        assert figures.ended.closed == 3
        assert figures.ended.median == pytest.approx(2 * 86400)
        assert figures.ended.nine_of_ten == pytest.approx(5.2 * 86400)


class TestOpenNow:
    async def test_is_counted_by_age_whatever_the_period(self, past: PastCases) -> None:
        for age in ({"hours": 1}, {"hours": 5}, {"days": 2}, {"days": 4}, {"days": 100}):
            await past.case(opened=past.ago(**age), owner="kim" if "hours" in age else None)
        figures = (await report(past, "7d")).now

        assert (figures.open, figures.unassigned) == (5, 3)
        assert list(figures.ages.values()) == [1, 1, 1, 1, 1]


class TestWhatEnded:
    async def test_outcomes_and_causes_against_the_period_before(self, past: PastCases) -> None:
        for cause, outcome, days in (
            ("Carrier delay", "recovered", 1),
            ("Carrier delay", "unresolved", 2),
            ("Damaged", "recovered", 3),
            ("Carrier delay", "recovered", 31),
            ("Refund late", "churned", 59),
            ("Ancient", "churned", 61),
        ):
            await past.case(
                opened=past.ago(days=days + 1), closed=past.ago(days=days), cause=cause, outcome=outcome
            )
        figures = await report(past)

        assert [(c.cause, c.cases, c.change) for c in figures.causes] == [
            ("Carrier delay", 2, 1),
            ("Damaged", 1, 1),
            ("Refund late", 0, -1),
        ]
        assert figures.outcomes == {
            "recovered": 2,
            "unresolved": 1,
            "churned": 0,
            "no_response": 0,
            "not_actionable": 0,
        }
        assert figures.noted == Share(2, 3)

    async def test_a_closed_month_does_not_change_when_a_case_is_opened_again(self, past: PastCases) -> None:
        closed = datetime(2026, 10, 20, 12, tzinfo=UTC)
        case_id = await past.case(opened=closed - timedelta(days=1), closed=closed)
        before = await report(past, "month:2026-10")
        await past.entry(case_id, "reopened", datetime(2026, 11, 2, tzinfo=UTC))
        await past.set(case_id, status="reopened", closed_at=None, resolved_at=None, root_cause=None)
        after = await report(past, "month:2026-10")

        assert before.ended == after.ended
        assert before.outcomes == after.outcomes
        assert [c.cases for c in after.causes] == [1]
        assert after.reopened == Share(0, 1)
        november = await report(past, "month:2026-11")
        assert (november.reopenings, november.now.open) == (1, 1)

    async def test_reopened_is_of_those_closed_with_an_honest_verdict(self, past: PastCases) -> None:
        for days in (10, 40):
            for n in range(30):
                at = past.ago(days=days)
                case_id = await past.case(opened=at - timedelta(days=1), closed=at)
                if n < (12 if days == 10 else 1):
                    await past.entry(case_id, "reopened", at + timedelta(days=1))
        figures = await report(past)

        assert (figures.reopened, figures.reopened_before) == (Share(12, 30), Share(1, 30))
        assert figures.reopened_verdict is Verdict.HIGHER

    async def test_months_are_the_stores_own(self, past: PastCases) -> None:
        # 00:30 on 1 October in Amsterdam is 22:30 on 30 September in UTC.
        first = datetime(2026, 9, 30, 22, 30, tzinfo=UTC)
        for at in (first, datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 9, 2, tzinfo=UTC)):
            await past.case(opened=at - timedelta(days=1), closed=at)
        assert (await report(past, "month:2026-10")).ended.closed == 1
        [cause] = (await report(past, "month:2026-11")).causes
        assert (cause.months, cause.of_months, cause.recurring) == (3, 4, True)


class TestRecovery:
    async def test_is_proved_by_the_next_answer_after_the_closing(self, past: PastCases) -> None:
        closed = past.ago(days=10)
        for _ in range(6):
            await past.case(opened=past.ago(days=11), closed=closed)
        await past.answer("c-1", "promoter", closed + timedelta(days=1))
        await past.answer("c-2", "passive", closed + timedelta(days=1))
        await past.answer("c-3", "detractor", closed + timedelta(days=1))
        await past.answer("c-3", "promoter", closed + timedelta(days=2))
        await past.answer("c-4", "promoter", closed - timedelta(hours=1))
        await past.answer("c-5", "promoter", closed + timedelta(days=1), retracted=True)
        await past.answer("c-6", "promoter", closed + timedelta(days=1), metric="csat")
        figures = await report(past)

        assert figures.noted == Share(6, 6)
        assert figures.proved == Share(2, 3), (
            "c-3's next answer is still low; c-4, c-5 and c-6 did not answer"
        )


class TestOwners:
    async def test_are_judged_from_five_cases_on(self, past: PastCases) -> None:
        for hours in (1, 2, 3, 4, 9):
            await past.case(opened=past.ago(days=2), contacted_after=hours, owner="noor@x")
        await past.case(opened=past.ago(days=3), contacted_after=1, closed=past.ago(days=1), owner="kofi@x")
        await past.case(opened=past.ago(hours=1))
        noor, kofi, nobody = (await report(past)).owners

        assert (noor.load.owner, noor.load.open, noor.load.closed, noor.in_time, noor.enough) == (
            "noor@x",
            5,
            0,
            Share(4, 5),
            True,
        )
        assert noor.load.median == pytest.approx(3 * 3600)
        assert (kofi.load.owner, kofi.load.open, kofi.load.closed, kofi.enough) == ("kofi@x", 0, 1, False)
        assert (nobody.load.owner, nobody.load.open, nobody.enough) == (None, 1, False)


class TestFilters:
    async def test_by_team_and_priority(self, past: PastCases) -> None:
        await past.case(opened=past.ago(days=2), team="care", priority="urgent")
        await past.case(opened=past.ago(days=2), team="care")
        await past.case(opened=past.ago(days=2))

        assert (await report(past)).contacts.opened == 3
        assert (await report(past, team="care")).contacts.opened == 2
        assert (await report(past, team="none")).now.open == 1
        urgent = await report(past, team="care", priority=Priority.URGENT)
        assert (urgent.contacts.opened, urgent.now.open) == (1, 1)


class TestDeliveries:
    async def test_by_channel(self, past: PastCases) -> None:
        case_id = await past.case(opened=past.ago(days=2))
        for seconds in (0.2, 0.4, 0.6):
            await past.delivery(case_id, "slack", "sent", seconds)
        await past.delivery(case_id, "slack", "cancelled", 1)
        await past.delivery(case_id, "hook", "dead", 5, last_status=404, last_error="404")
        await past.delivery(case_id, "hook", "pending", 0)
        hook, slack = (await report(past)).channels

        assert (slack.channel, slack.alerts_made, slack.delivered, slack.dead) == ("slack", 3, 3, 0)
        assert slack.median == pytest.approx(0.4)
        assert slack.slowest == pytest.approx(0.596)
        assert (hook.alerts_made, hook.retrying, hook.dead, hook.last_status) == (2, 1, 1, 404)


class TestAnEmptyStore:
    async def test_has_a_report_of_missing_and_not_of_zero_percent(self, past: PastCases) -> None:
        figures = await report(past)

        assert figures.contacts.median is None
        assert figures.contacted_in_time.percent is None
        lines = [text for text, _ in ten_lines(figures, AMSTERDAM)]
        assert len(lines) == 10
        assert lines[4] == "Contacted in time: –, 0 of 0 (95% interval –)."


class TestCsv:
    async def test_is_safe_in_a_spreadsheet_and_reads_back(self, past: PastCases) -> None:
        evil = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\tx", "\rx", ' "=x', 'a,"b"\r\nc']
        for cause in evil:
            await past.case(opened=past.ago(days=2), closed=past.ago(days=1), cause=cause)
        written = csv_of(rows_of(await report(past)))
        rows = list(csv.reader(io.StringIO(written, newline="")))

        assert {len(row) for row in rows} == {8}
        assert not [cell for row in rows for cell in row if cell.startswith(tuple("=+-@\t\r"))]
        causes = {row[1] for row in rows if row[0] == "causes"}
        assert causes == {"'" + cause for cause in evil[:7]} | {evil[7]}
        assert all(line.endswith("\r\n") for line in written.splitlines(keepends=True)[:5])
        contacted = next(row for row in rows if row[:2] == ["summary", "contacted_in_time"])
        assert contacted[3:] == ["0", "8", "0.0", "0.0", "32.4"]


class TestTellingCustomers:
    async def test_marks_each_case_once_with_who_and_when(self, past: PastCases) -> None:
        period = (past.ago(days=30), past.now)
        first = await past.case(opened=past.ago(days=3), closed=past.ago(days=2))
        await past.case(opened=past.ago(days=3), closed=past.ago(days=1))
        await past.case(opened=past.ago(days=3), closed=past.ago(days=1), cause="Damaged")
        await past.case(opened=past.ago(days=60), closed=past.ago(days=50))
        scope = Scope(past.desk.store)
        database = past.desk.database
        async with database.transaction() as session:
            waiting = await store.count_customers_to_inform(session, scope, *period)
            listed = await store.customers_to_inform(session, scope, "Carrier delay", *period, limit=10)
        counts = []
        for _ in range(2):
            async with database.transaction() as session:
                counts.append(
                    await store.mark_customers_informed(
                        session, scope, "Carrier delay", *period, who="key:k", now=past.now
                    )
                )

        assert waiting == {"Carrier delay": 2, "Damaged": 1}
        assert [case.customer_ref for case in listed] == ["c-1", "c-2"]
        assert counts == [2, 0]
        [row] = await past.desk.rows(
            f"SELECT h.who, h.at, h.version FROM notifier.history h JOIN notifier.cases c USING (case_id)"
            f" WHERE c.store = :store AND what = 'told' AND case_id = '{first}'"
        )
        assert row == {"who": "key:k", "at": past.now, "version": 2}
        assert [cause.customers_to_inform for cause in (await report(past)).causes] == [0, 1]
