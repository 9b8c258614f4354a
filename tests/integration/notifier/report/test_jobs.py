"""The weekly report comes once, on Monday at 08:00 of the store."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.report.jobs import WeeklyReport
from services.notifier.settings import Alerts
from shared.db import Database
from tests.integration.notifier.desk import Desk, webhook
from tests.integration.notifier.past_cases import AMSTERDAM, PastCases

MONDAY_SEVEN = datetime(2026, 11, 23, 6, tzinfo=UTC)
"""07:00 in Amsterdam."""


def replica(desk: Desk) -> WeeklyReport:
    alerts = Alerts.model_validate(
        {"channels": {"alerts": webhook()}, "weekly_report": {"channels": ["alerts"]}}
    )
    return WeeklyReport(desk.database, {desk.store: alerts.weekly_channels}, {desk.store: AMSTERDAM})


async def notices(desk: Desk) -> list[dict[str, object]]:
    return await desk.rows("SELECT * FROM notifier.notices WHERE store = :store")


class TestTheWeeklyReport:
    async def test_waits_for_eight_in_the_morning_there(self, desk: Desk) -> None:
        assert await replica(desk).send_due(MONDAY_SEVEN + timedelta(minutes=59)) == []
        assert await replica(desk).send_due(MONDAY_SEVEN + timedelta(hours=1)) == [
            f"report:{desk.store}:2026-W47"
        ]

    async def test_comes_once_however_many_replicas_and_restarts(self, desk: Desk) -> None:
        replicas = [replica(desk) for _ in range(3)]
        sent = await asyncio.gather(
            *(replica_job.send_due(MONDAY_SEVEN + timedelta(hours=2)) for replica_job in replicas)
        )
        again = await replica(desk).send_due(MONDAY_SEVEN + timedelta(hours=5))

        assert sorted(map(len, sent)) == [0, 0, 1]
        assert again == []
        assert len(await desk.deliveries()) == 1

    @pytest.mark.parametrize("hours", [26, 96])
    async def test_comes_not_at_all_when_it_is_no_news_any_more(self, desk: Desk, hours: int) -> None:
        assert await replica(desk).send_due(MONDAY_SEVEN + timedelta(hours=hours)) == []

    async def test_tells_the_week_before_in_ten_lines_with_links(self, desk: Desk) -> None:
        past = PastCases(desk, now=MONDAY_SEVEN)
        for day in (1, 2, 3, 8):
            await past.case(opened=past.ago(days=day), contacted_after=2)
        await past.case(opened=past.ago(days=4), closed=past.ago(days=2))
        await replica(desk).send_due(MONDAY_SEVEN + timedelta(hours=1))
        [notice] = await notices(desk)

        detail = notice["detail"]
        assert isinstance(detail, dict)
        lines = [detail["text"], *(item["text"] for item in detail["items"])]
        assert len(lines) == 10
        assert lines[0] == "4 cases opened, 1 closed, 0 reopened, 0 dismissed."
        assert lines[2] == "First contact: median 2 h, 9 of 10 within 2 h (around the clock)."
        assert lines[4] == "Contacted in time: 75%, 3 of 4 (95% interval 30 to 95%)."
        assert lines[8] == "Root causes: Carrier delay 1."
        assert all(item["link"].startswith("/inbox") for item in detail["items"])
        assert "week 47" in str(notice["title"])

    async def test_goes_nowhere_when_nobody_wants_it(self, desk: Desk, database: Database) -> None:
        alerts = Alerts.model_validate({"channels": {"alerts": webhook()}})
        job = WeeklyReport(database, {desk.store: alerts.weekly_channels}, {desk.store: AMSTERDAM})
        assert await job.send_due(MONDAY_SEVEN + timedelta(hours=1)) == []
