"""Answers that stop coming, and come back."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from services.notifier.settings import Alerts
from services.notifier.watch.handlers import count_arrivals
from services.notifier.watch.jobs import Watch
from tests.integration.notifier.desk import Desk, webhook
from tests.integration.notifier.past_cases import AMSTERDAM

NOW = datetime(2026, 11, 26, 13, 30, tzinfo=UTC)


class Shop:
    """A store with a rule over silence, and its answers."""

    def __init__(self, desk: Desk, **rule: Any) -> None:
        self.desk = desk
        self.alerts = Alerts.model_validate(
            {"channels": {"alerts": webhook()}, "silence_rules": [{"name": "quiet", "hours": 6, **rule}]}
        )

    async def answers(
        self, at: datetime, count: int = 1, touchpoint: str | None = None, **given: Any
    ) -> None:
        events = [
            self.desk.submitted(
                9, response_id=f"r{n}", received_at=at, answered_at=at, touchpoint=touchpoint, **given
            )
            for n in range(count)
        ]
        async with self.desk.database.transaction() as session:
            await count_arrivals(session, events, {self.desk.store})

    async def usual_weeks(self, touchpoint: str | None = None) -> None:
        """Eight answers at noon in each of the four weeks before, and one seven hours ago."""
        for week in range(1, 5):
            await self.answers(NOW - timedelta(weeks=week, hours=2), 8, touchpoint)
        await self.answers(NOW - timedelta(hours=7), 1, touchpoint)

    @property
    def watch(self) -> Watch:
        return Watch(
            self.desk.database, {self.desk.store: self.alerts.watch_policy}, {self.desk.store: AMSTERDAM}
        )

    async def titles(self) -> list[str]:
        rows = await self.desk.rows(
            "SELECT title FROM notifier.notices WHERE store = :store ORDER BY created_at, notice_id"
        )
        return [row["title"] for row in rows]


class TestSilence:
    async def test_is_told_once_and_so_is_its_end(self, desk: Desk) -> None:
        shop = Shop(desk)
        await shop.usual_weeks()
        for minutes in (0, 1, 120):
            await shop.watch.look(NOW + timedelta(minutes=minutes))
        assert await shop.titles() == ["No answers for 6 hours"]

        back = NOW + timedelta(hours=3)
        await shop.answers(back)
        for minutes in (1, 2):
            await shop.watch.look(back + timedelta(minutes=minutes))
        assert await shop.titles() == ["No answers for 6 hours", "Answers are back"]

    async def test_of_two_replicas_is_told_once(self, desk: Desk) -> None:
        shop = Shop(desk)
        await shop.usual_weeks()
        await asyncio.gather(*(shop.watch.look(NOW) for _ in range(4)))
        assert await shop.titles() == ["No answers for 6 hours"]

    async def test_is_none_while_answers_come(self, desk: Desk) -> None:
        shop = Shop(desk)
        await shop.usual_weeks()
        await shop.answers(NOW - timedelta(hours=5))
        assert await shop.watch.look(NOW) == 0

    async def test_is_none_where_there_usually_are_few(self, desk: Desk) -> None:
        shop = Shop(desk, usual_at_least=9)
        await shop.usual_weeks()
        assert await shop.watch.look(NOW) == 0

    async def test_of_one_touchpoint_is_told_though_others_answer(self, desk: Desk) -> None:
        shop = Shop(desk, touchpoints=["support", "return"])
        await shop.usual_weeks("support")
        await shop.answers(NOW, 1, "return")
        await shop.watch.look(NOW)
        assert await shop.titles() == ["No answers at support for 6 hours"]

    async def test_tests_and_imports_are_no_answers(self, desk: Desk) -> None:
        shop = Shop(desk)
        await shop.usual_weeks()
        await shop.answers(NOW - timedelta(hours=1), test=True)
        await shop.answers(NOW - timedelta(hours=1), historical=True)
        assert await shop.watch.look(NOW) == 1

    async def test_old_hours_are_let_go(self, desk: Desk) -> None:
        shop = Shop(desk)
        await shop.answers(NOW - timedelta(days=40))
        await shop.answers(NOW - timedelta(days=30))
        await shop.watch.look(NOW)
        rows = await desk.rows("SELECT hour FROM notifier.intake_hours WHERE store = :store")
        assert len(rows) == 1
