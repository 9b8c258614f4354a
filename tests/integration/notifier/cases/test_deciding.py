"""Which answers open cases by rules beyond the built-in one, and what else an answer leaves on a case."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import text

from services.notifier.settings import Alerts
from shared.db import Database
from shared.events.responses import FollowUp
from tests.integration.notifier.desk import Desk, webhook

EVERYBODY = ["detractor", "passive", "promoter"]


def rules(*rules: dict[str, Any], **more: Any) -> Alerts:
    return Alerts.model_validate(
        {"channels": {"alerts": webhook(), "care": webhook()}, "rules": list(rules), **more}
    )


class TestAGoodAnswer:
    async def test_opens_a_case_by_a_rule_that_names_its_group(self, desk: Desk) -> None:
        desk.alerts = rules({"name": "meh", "when": {"groups": ["passive"]}, "priority": "low"})
        await desk.apply(desk.submitted(8), desk.submitted(9, response_id="r-2", customer="c-2"))

        case = await desk.case()
        assert (case["rule"], case["priority"], case["customer_ref"]) == ("meh", "low", "c-1")
        assert (case["score"], case["metric"], case["last_group"]) == (8, "nps", "passive")
        assert case["clock_from"] == desk.now

    async def test_of_somebody_who_asks_to_be_called_opens_one(self, desk: Desk) -> None:
        desk.alerts = rules({"name": "call", "when": {"wants_contact": True, "groups": EVERYBODY}})
        yes = FollowUp(question="contact_me", value="yes")
        await desk.apply(desk.submitted(10, answers=(yes,)), desk.submitted(10, response_id="x"))

        case = await desk.case()
        assert (case["rule"], case["wants_contact"]) == ("call", True)

    async def test_and_of_somebody_who_asks_later(self, desk: Desk) -> None:
        desk.alerts = rules({"name": "call", "when": {"wants_contact": True, "groups": EVERYBODY}})
        await desk.apply(desk.submitted(10))
        assert await desk.cases() == []
        await desk.apply(desk.amended(answers=(FollowUp(question="contact_me", value=True),)))
        assert (await desk.case())["rule"] == "call"

    async def test_after_a_case_is_noted_on_it_and_closes_nothing(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2))
        desk.now += timedelta(hours=2)
        again = desk.submitted(9, response_id="r-2")
        await desk.apply(again)
        await desk.apply(again)

        case = await desk.case()
        assert (case["status"], case["last_group"], case["version"]) == ("open", "promoter", 2)
        assert await desk.history() == ["opened", "answered_again"]
        assert len(await desk.deliveries()) == 1

    async def test_that_was_given_before_the_low_one_is_not_news(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2))
        earlier = desk.now - timedelta(hours=2)
        await desk.apply(desk.submitted(9, response_id="r-0", answered_at=earlier))

        assert await desk.history() == ["opened"]
        assert (await desk.case())["last_group"] == "detractor"


class TestAFall:
    ALERTS = rules(
        {"name": "fell", "when": {"groups": ["passive", "detractor"], "fell_by": 3}, "priority": "high"}
    )

    async def test_opens_a_case_against_the_last_answer(self, desk: Desk) -> None:
        desk.alerts = self.ALERTS
        for number, score in enumerate((7, 10, 7)):
            desk.now += timedelta(hours=1)
            await desk.apply(desk.submitted(score, response_id=f"r-{number}"))
        assert [(case["rule"], case["response_id"]) for case in await desk.cases()] == [("fell", "r-2")]

    async def test_within_one_batch_too(self, desk: Desk) -> None:
        desk.alerts = self.ALERTS
        earlier = desk.now - timedelta(hours=1)
        await desk.apply(
            desk.submitted(10, response_id="r-1", answered_at=earlier), desk.submitted(7, response_id="r-2")
        )
        assert (await desk.case())["rule"] == "fell"

    async def test_low_answers_open_a_case_in_whatever_order_they_come(self, database: Database) -> None:
        for order in permutations(range(3)):
            desk = Desk(database, self.ALERTS)
            events = [
                desk.submitted(score, response_id=f"r-{n}", answered_at=desk.now - timedelta(hours=3 - n))
                for n, score in enumerate((10, 8, 3))
            ]
            await desk.one_by_one([events[n] for n in order])
            assert len(await desk.live()) == 1


class TestWhatIsKnownOfTheCustomer:
    async def test_decides_by_risk_and_tags(self, desk: Desk) -> None:
        desk.alerts = rules({"name": "leaving", "when": {"risk": ["high"], "tags": ["vip"]}})
        known = desk.standing(risk="high", action="personal_call", reasons=("recency",))
        await desk.apply(known)
        await desk.apply(desk.submitted(2))
        await desk.apply(desk.submitted(2, response_id="r-2", customer="c-2"))

        assert [case["rule"] for case in await desk.cases()] == ["leaving", "default"]


class TestWords:
    async def test_of_a_comment_that_comes_later_raise_the_case_and_tell_who_was_not_told(
        self, desk: Desk
    ) -> None:
        desk.alerts = rules(
            {"name": "broken", "when": {"words": ["broken"]}, "priority": "urgent"},
            {"name": "rest", "channels": ["alerts"]},
        )
        await desk.apply(desk.submitted(2, complete=False))
        await desk.apply(desk.amended(comment="It came BROKEN!"))

        case = await desk.case()
        assert (case["rule"], case["priority"]) == ("broken", "urgent")
        assert {(d["reason"], d["channel"]) for d in await desk.deliveries()} == {
            ("opened", "alerts"),
            ("opened", "care"),
        }

    async def test_without_end_stop_nobody(self, desk: Desk) -> None:
        long = " ".join(f"w{n}ord{n}" for n in range(900))
        for number in range(30):
            await desk.apply(desk.submitted(2, response_id=f"r-{number}", comment=f"{number}{long}"))
        assert (await desk.case())["version"] == 30


TEAM = {"members": ["ann@x", "bob@x", "cem@x"], "assign": "round_robin"}


async def rows_and_turns(desk: Desk) -> list[Any]:
    return [
        *await desk.everything(),
        await desk.rows("SELECT * FROM notifier.turns WHERE store = :store"),
    ]


class TestATeam:
    async def test_gets_its_cases_in_turn_however_many_handlers_open_them(self, desk: Desk) -> None:
        desk.alerts = rules({"name": "all", "team": "care"}, teams={"care": TEAM})
        answers = [desk.submitted(2, response_id=f"r-{n}", customer=f"c-{n}") for n in range(24)]
        await asyncio.gather(*(desk.apply(*answers[n : n + 3]) for n in range(0, 24, 3)))

        cases = await desk.cases()
        assert Counter(case["owner"] for case in cases) == {"ann@x": 8, "bob@x": 8, "cem@x": 8}
        assert {(case["status"], case["team"], case["version"]) for case in cases} == {
            ("assigned", "care", 1)
        }
        assert (await desk.history()).count("assigned") == 24

    async def test_gives_to_whoever_has_least(self, desk: Desk) -> None:
        team = TEAM | {"assign": "least_loaded"}
        desk.alerts = rules({"name": "all", "team": "care"}, teams={"care": team})
        first = [desk.submitted(2, response_id=f"r-{n}", customer=f"c-{n}") for n in range(6)]
        await desk.apply(*first)
        async with desk.database.transaction() as session:
            await session.execute(
                text("""UPDATE notifier.cases SET status = 'resolved'
                        WHERE store = :store AND owner = 'bob@x'"""),
                {"store": desk.store},
            )
        await desk.apply(*(desk.submitted(2, response_id=f"n-{n}", customer=f"n-{n}") for n in range(2)))

        assert Counter(case["owner"] for case in await desk.cases()) == {
            "ann@x": 2,
            "bob@x": 4,
            "cem@x": 2,
        }

    async def test_that_got_a_case_by_turn_has_not_touched_it(self, desk: Desk) -> None:
        desk.alerts = rules({"name": "all", "team": "care"}, teams={"care": TEAM})
        await desk.one_by_one([desk.submitted(2), desk.retracted()])
        assert (await desk.case())["status"] == "dismissed"

    async def test_twice_leaves_the_same_rows_and_turns(self, desk: Desk) -> None:
        desk.alerts = rules({"name": "all", "team": "care"}, teams={"care": TEAM})
        batch = [
            desk.submitted(2),
            desk.submitted(3, response_id="r-2"),
            desk.submitted(9, response_id="r-3"),
        ]
        await desk.apply(*batch)
        once = [
            *await desk.everything(),
            await desk.rows("SELECT * FROM notifier.turns WHERE store = :store"),
        ]
        assert await desk.apply(*batch) == {"duplicate": 3}
        twice = [
            *await desk.everything(),
            await desk.rows("SELECT * FROM notifier.turns WHERE store = :store"),
        ]
        assert twice == once


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["submitted"], ("nps", 2, "detractor", False)),
        (["amended"], (None, None, None, False)),
        (["amended", "submitted"], ("nps", 9, "promoter", False)),
        (["submitted", "amended"], ("nps", 9, "promoter", False)),
        (["submitted", "retracted"], ("nps", 2, "detractor", True)),
    ],
)
async def test_the_columns_of_an_answer_are_its_fold(
    desk: Desk, events: list[str], expected: tuple[Any, ...]
) -> None:
    made = {"submitted": desk.submitted(2), "amended": desk.amended(score=9), "retracted": desk.retracted()}
    await desk.one_by_one([made[name] for name in events])

    [row] = await desk.rows("SELECT metric, score, grp, retracted FROM notifier.answers WHERE store = :store")
    assert tuple(row.values()) == expected
