"""Steps on age and breach: each once a case, with any number of clocks, and whatever dies in between."""

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.notifier.cases.jobs import Clock
from services.notifier.settings import Alerts
from shared.db import Database
from tests.integration.notifier.desk import Desk, webhook

STEPS = [
    {"name": "lead_told", "when": "first_contact_overdue", "assign": "lead", "channels": ["care"]},
    {"name": "raised", "when": "age", "after_hours": 30, "raise_to": "urgent", "channels": []},
]


def alerts(*steps: dict[str, Any]) -> Alerts:
    return Alerts.model_validate(
        {
            "channels": {"alerts": webhook(), "care": webhook()},
            "teams": {"care": {"members": ["ann@x"], "lead": "lea@x"}},
            "rules": [{"name": "all", "team": "care", "first_contact_hours": 4}],
            "escalation": list(steps),
        }
    )


@pytest.fixture
def late(desk: Desk) -> Desk:
    """A store whose cases opened five hours ago."""
    desk.alerts = alerts(*STEPS)
    desk.now -= timedelta(hours=5)
    return desk


def clock(desk: Desk) -> Clock:
    return Clock(desk.database, desk.policies)


async def age(desk: Desk, hours: int) -> None:
    """So many hours go by for the cases of this store."""
    moved = (
        "opened_at",
        "clock_from",
        "resolve_from",
        "first_contact_due_at",
        "resolve_due_at",
        "next_step_at",
    )
    changes = ", ".join(f"{column} = {column} - make_interval(hours => :h)" for column in moved)
    async with desk.database.transaction() as session:
        await session.execute(
            text(f"UPDATE notifier.cases SET {changes} WHERE store = :store"),
            {"store": desk.store, "h": hours},
        )


class TestAStep:
    async def test_is_taken_once_with_its_owner_history_alert_and_fact(self, late: Desk) -> None:
        await late.apply(late.submitted(2))
        for _ in range(3):
            await clock(late).tick()

        case = await late.case()
        assert (case["owner"], case["status"], case["escalated"]) == ("lea@x", "assigned", 1)
        assert [(d["reason"], d["channel"]) for d in await late.deliveries() if d["reason"] != "opened"] == [
            ("escalated:lead_told", "care")
        ]
        assert await late.history() == ["opened", "escalated"]
        assert await late.emitted() == ["case.opened", "case.changed"]
        assert case["next_step_at"] == late.now + timedelta(hours=30)

    async def test_that_comes_later_is_taken_in_its_turn(self, late: Desk) -> None:
        await late.apply(late.submitted(2))
        await clock(late).tick()
        assert (await late.case())["priority"] == "normal"
        await age(late, 26)
        await clock(late).tick()

        case = await late.case()
        assert (case["priority"], case["escalated"], case["next_step_at"]) == ("urgent", 2, None)

    async def test_is_not_taken_when_somebody_called_in_time(self, desk: Desk) -> None:
        desk.alerts = alerts(STEPS[0])
        await desk.apply(desk.submitted(2))
        assert (await desk.case())["next_step_at"] == desk.now + timedelta(hours=4)
        async with desk.database.transaction() as session:
            await session.execute(
                text("""UPDATE notifier.cases SET first_contact_at = now(), status = 'contacted'
                        WHERE store = :store"""),
                {"store": desk.store},
            )
        await age(desk, 9)
        await clock(desk).tick()
        assert (await desk.case())["escalated"] == 0
        assert (await desk.case())["next_step_at"] is None

    async def test_that_is_declared_later_reaches_the_cases_there_are(self, late: Desk) -> None:
        late.alerts = alerts()
        await late.apply(*(late.submitted(2, response_id=f"r-{n}", customer=f"c-{n}") for n in range(3)))
        await clock(late).tick()
        assert {case["next_step_at"] for case in await late.cases()} == {None}

        late.alerts = alerts(*STEPS)
        await clock(late).tick()
        assert {case["owner"] for case in await late.cases()} == {"lea@x"}


class TestManyClocks:
    async def test_take_each_step_once_even_when_they_die_in_the_middle(
        self, late: Desk, database: Database
    ) -> None:
        await late.apply(*(late.submitted(2, response_id=f"r-{n}", customer=f"c-{n}") for n in range(60)))
        chance = random.Random(4)
        for _ in range(12):
            ticks = [asyncio.create_task(clock(late).tick()) for _ in range(3)]
            await asyncio.sleep(chance.random() * 0.06)
            for tick in ticks:
                tick.cancel()
            await asyncio.gather(*ticks, return_exceptions=True)
        await asyncio.gather(*(clock(late).tick() for _ in range(3)))
        await clock(late).tick()

        assert {case["escalated"] for case in await late.cases()} == {1}
        told = Counter(d["case_id"] for d in await late.deliveries() if d["reason"].startswith("escalated"))
        assert len(told) == 60
        assert set(told.values()) == {1}
        assert Counter(await late.history()) == {"opened": 60, "escalated": 60}
        assert Counter(await late.emitted()) == {"case.opened": 60, "case.changed": 60}
