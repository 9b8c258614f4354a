"""Cases over HTTP beyond one agent and one case: teams, search, many at once, watchers, what changed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from services.notifier.settings import Alerts
from shared.access import Scope
from shared.config.stores import Store
from tests.integration.notifier.agent import Agent, employ, key, served
from tests.integration.notifier.desk import AboutOrder, Desk, webhook

TEAMS = {"care": {"members": ["ann@x", "bob@x"], "lead": "lea@x"}, "empty": {}}
ALERTS = Alerts.model_validate(
    {
        "channels": {"alerts": webhook()},
        "teams": TEAMS,
        "rules": [
            {"name": "shoes", "when": {"touchpoints": ["shop"]}, "team": "care", "clock": "business"},
            {"name": "lost", "when": {"touchpoints": ["lost"]}, "team": "empty"},
        ],
        "escalation": [{"name": "old", "when": "age", "after_hours": 30, "raise_to": "high"}],
        "replies": [{"name": "Sorry", "text": "Dear {{ name }}, order {{ order }}. {{ store }} {{ case }}"}],
    }
)
STORE = Store.model_validate(
    {"name": "Shoe shop", "timezone": "Europe/Amsterdam", "business_hours": {"mon-sun": "09:00-18:00"}}
)


@pytest.fixture
def desk(desk: Desk) -> Desk:
    desk.alerts = ALERTS.of_store(STORE)
    return desk


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with served(desk.database, {desk.store: desk.alerts}) as client:
        yield client


@pytest.fixture
async def agent(client: httpx.AsyncClient, desk: Desk) -> Agent:
    await employ(desk.database, desk.store, "kim@shop.example", "lee@shop.example")
    return Agent(client, await key(desk.database, desk.store, Scope.CASES_READ, Scope.CASES_WRITE))


async def opened(desk: Desk, *customers: str, **given: Any) -> list[str]:
    """Cases of these customers; returns their ids in this order."""
    answers = [desk.submitted(2, response_id=f"r-{c}", customer=c, **given) for c in customers]
    await desk.apply(*answers)
    ids = {case["customer_ref"]: str(case["case_id"]) for case in await desk.cases()}
    return [ids[customer] for customer in customers]


async def found(agent: Agent, **query: str) -> set[str]:
    response = await agent.get("/v1/cases", **query)
    assert response.status_code == 200, response.text
    return {case["customer"]["ref"] for case in response.json()["cases"]}


class TestTheCase:
    async def test_shows_the_customer_and_what_is_to_come(self, agent: Agent, desk: Desk) -> None:
        await desk.apply(desk.standing(risk="high", action="personal_call", reasons=("recency", "nps")))
        await desk.apply(desk.submitted(9, response_id="r-0", answered_at=desk.now - timedelta(hours=3)))
        [case_id] = await opened(
            desk, "c-1", touchpoint="shop", order=AboutOrder(id="o-77"), comment="laces tore"
        )
        case = (await agent.get(f"/v1/cases/{case_id}")).json()

        assert case["number"] > 0
        assert (case["team"], case["clock"], case["last_group"]) == ("care", "business", "detractor")
        assert [past["score"] for past in case["past_answers"]] == [2, 9]
        assert case["customer"]["action"] == "personal_call"
        assert case["customer"]["reasons"] == ["recency", "nps"]
        assert [step["name"] for step in case["steps_ahead"]] == ["old"]
        assert case["steps_ahead"][0]["at"] == case["next_step_at"]
        assert case["replies"] == {"Sorry": f"Dear Ann, order o-77. Shoe shop {case['number']}"}

    async def test_shows_the_customers_earlier_ones(self, agent: Agent, desk: Desk) -> None:
        [first] = await opened(desk, "c-1")
        await agent.post(f"/v1/cases/{first}/dismiss", reason="spam")
        await desk.apply(desk.submitted(1, response_id="r-9"))
        [second] = [str(c["case_id"]) for c in await desk.live()]

        earlier = (await agent.get(f"/v1/cases/{second}")).json()["earlier_cases"]
        assert [(case["id"], case["status"]) for case in earlier] == [(first, "dismissed")]

    async def test_counts_by_its_own_clock(self, agent: Agent, desk: Desk) -> None:
        [case_id] = await opened(desk, "c-1", touchpoint="shop")
        contacted = (await agent.bare(f"/v1/cases/{case_id}/contact")).json()["first_contact"]
        hours = desk.alerts.policy.hours
        assert hours is not None
        taken = hours.worked(desk.now, datetime.fromisoformat(contacted["at"]))
        assert contacted["seconds"] == pytest.approx(taken.total_seconds(), abs=0.01)


class TestAssigning:
    async def test_by_turn_or_load_finds_somebody_of_the_team(self, agent: Agent, desk: Desk) -> None:
        await employ(desk.database, desk.store, "ann@x", "bob@x")
        ids = await opened(desk, *"abcd", touchpoint="shop")
        owners = [
            (await agent.post(f"/v1/cases/{i}/assign", owner="round_robin")).json()["owner"] for i in ids[:3]
        ]
        assert owners == ["ann@x", "bob@x", "ann@x"]
        least = (await agent.post(f"/v1/cases/{ids[3]}/assign", owner="least_loaded")).json()
        assert least["owner"] == "bob@x"
        assert least["history"][-1]["detail"] == {"owner": "bob@x", "how": "least_loaded"}

    async def test_by_turn_passes_over_whoever_has_no_account(self, agent: Agent, desk: Desk) -> None:
        await employ(desk.database, desk.store, "bob@x")
        for case_id in await opened(desk, *"ab", touchpoint="shop"):
            done = await agent.post(f"/v1/cases/{case_id}/assign", owner="round_robin")
            assert done.json()["owner"] == "bob@x"

    @pytest.mark.parametrize(("touchpoint", "why"), [("lost", "no members"), ("other", "no team")])
    async def test_where_there_is_nobody_is_refused(
        self, agent: Agent, desk: Desk, touchpoint: str, why: str
    ) -> None:
        [case_id] = await opened(desk, "c-1", touchpoint=touchpoint)
        refused = await agent.post(f"/v1/cases/{case_id}/assign", owner="round_robin")
        assert refused.status_code == 422
        [error] = refused.json()["errors"]
        assert error["pointer"] == "/owner"
        assert why in error["detail"]

    @pytest.mark.parametrize("owner", ["nobody@shop.example", "neighbour@other.example", "kim"])
    async def test_to_somebody_who_does_not_work_for_the_store_is_refused(
        self, agent: Agent, desk: Desk, owner: str
    ) -> None:
        await employ(desk.database, f"{desk.store}-next", "neighbour@other.example")
        [case_id] = await opened(desk, "c-1")
        refused = await agent.post(f"/v1/cases/{case_id}/assign", owner=owner)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/owner")
        many = await agent.post("/v1/cases:bulk", action="assign", owner=owner, cases=[{"id": case_id}])
        assert many.json()["results"][0]["problem"]["status"] == 422
        assert (await desk.case())["owner"] is None

    async def test_keeps_the_address_as_the_account_has_it(self, agent: Agent, desk: Desk) -> None:
        [case_id] = await opened(desk, "c-1")
        done = await agent.post(f"/v1/cases/{case_id}/assign", owner=" Kim@Shop.example")
        assert done.json()["owner"] == "kim@shop.example"


class TestTwoAgents:
    async def test_the_later_one_is_told_what_changed(self, agent: Agent, desk: Desk) -> None:
        [case_id] = await opened(desk, "c-1")
        at = f"/v1/cases/{case_id}"
        await agent.post(f"{at}/assign", owner="kim@shop.example")
        await agent.post(f"{at}/note", note="Called twice")
        late = await agent.post(f"{at}/assign", {"If-Match": '"1"'}, owner="lee@shop.example")

        assert late.status_code == 409
        assert [(c["what"], c["version"]) for c in late.json()["changes"]] == [("assigned", 2), ("noted", 3)]
        assert late.json()["changes"][0]["detail"] == {"owner": "kim@shop.example"}
        only = await agent.post(f"{at}/assign", owner="lee@shop.example", version=2)
        assert [c["what"] for c in only.json()["changes"]] == ["noted"]
        assert (
            await agent.post(f"{at}/assign", {"If-Match": '"x"'}, owner="lee@shop.example")
        ).status_code == 409


class TestManyAtOnce:
    async def test_each_has_its_own_result(self, agent: Agent, desk: Desk) -> None:
        ids = await opened(desk, *"abc")
        await agent.post(f"/v1/cases/{ids[1]}/note", note="n")
        await agent.post(f"/v1/cases/{ids[2]}/close", root_cause="x", outcome="churned")
        wanted = [{"id": ids[0]}, {"id": ids[1], "version": 1}, {"id": ids[2]}, {"id": "0000"}]
        done = await agent.post("/v1/cases:bulk", action="assign", owner="kim@shop.example", cases=wanted)

        assert done.status_code == 200, done.text
        results = done.json()["results"]
        assert [r["id"] for r in results] == [*ids, "0000"]
        assert [r["ok"] for r in results] == [True, False, False, False]
        assert [r["problem"]["type"].rpartition(":")[2] for r in results[1:]] == [
            "changed-meanwhile",
            "not-allowed",
            "not-found",
        ]
        assert (results[0]["state"], results[0]["version"]) == ("assigned", 2)
        assert {case["owner"] for case in await desk.cases()} == {"kim@shop.example", None}

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"action": "fly", "cases": [{"id": "0"}]}, ""),
            ({"action": "assign", "cases": [{"id": "0"}]}, "owner"),
            ({"action": "note", "note": "n", "cases": []}, "cases"),
            ({"action": "note", "note": "n", "cases": [{"id": "0"}] * 201}, "cases"),
            ({"action": "note", "note": "n", "cases": [{"id": "../x"}]}, "cases"),
            ({"action": "note", "note": "n", "cases": [{"id": "0", "version": 2**31}]}, "version"),
            ({"action": "note", "note": "n", "colour": 1, "cases": [{"id": "0"}]}, "colour"),
        ],
    )
    async def test_a_body_that_does_not_fit_changes_nothing(
        self, agent: Agent, body: dict[str, Any], pointer: str
    ) -> None:
        refused = await agent.post("/v1/cases:bulk", **body)
        assert refused.status_code == 422
        assert any(pointer in error["pointer"] for error in refused.json()["errors"])


class TestBesideTheState:
    async def test_watching_is_written_down_once_and_makes_no_version(self, agent: Agent, desk: Desk) -> None:
        [case_id] = await opened(desk, "c-1")
        at = f"/v1/cases/{case_id}"
        for _ in range(2):
            shown = (await agent.post(f"{at}/watch", watcher="kim@x")).json()
        assert (shown["watchers"], shown["version"]) == (["kim@x"], 1)
        assert await found(agent, watcher="kim@x") == {"c-1"}
        gone = (await agent.post(f"{at}/unwatch", watcher="kim@x")).json()
        assert gone["watchers"] == []
        assert await desk.history() == ["opened", "watched", "unwatched"]

    async def test_telling_the_customer_is_dated_by_the_first_time(self, agent: Agent, desk: Desk) -> None:
        [case_id] = await opened(desk, "c-1")
        first = (await agent.bare(f"/v1/cases/{case_id}/told")).json()["told_at"]
        assert first is not None
        assert (await agent.bare(f"/v1/cases/{case_id}/told")).json()["told_at"] == first
        assert await desk.history() == ["opened", "told"]


class TestTheList:
    @pytest.fixture(autouse=True)
    async def three(self, desk: Desk, agent: Agent) -> None:
        await desk.apply(desk.standing(customer="a", tier="Gold"))
        await opened(
            desk, "a", touchpoint="shop", comment="The zip, it's broken", order=AboutOrder(id="o-77")
        )
        await opened(desk, "b", comment="Late again")
        [case_id] = await opened(desk, "c", comment="Broken promise")
        await agent.post(f"/v1/cases/{case_id}/contact")

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"team": "care"}, {"a"}),
            ({"team": "none"}, {"b", "c"}),
            ({"tier": "Gold"}, {"a"}),
            ({"status": "open,contacted"}, {"a", "b", "c"}),
            ({"status": "contacted,resolved"}, {"c"}),
            ({"status": "live"}, {"a", "b", "c"}),
            ({"status": "live,closed"}, {"a", "b", "c"}),
            ({"wants_contact": "true"}, set()),
            ({"wants_contact": "false"}, {"a", "b", "c"}),
            ({"watcher": "kim@x"}, set()),
            ({"q": "broken"}, {"a", "c"}),
            ({"q": "BROK zip"}, {"a"}),
            ({"q": "a@example.com"}, {"a"}),
            ({"q": "o-77"}, {"a"}),
            ({"q": "it's"}, {"a"}),
            ({"q": "ann"}, {"a", "b", "c"}),
            ({"q": "broken", "status": "contacted"}, {"c"}),
            ({"q": "' & | ! :* \\ ("}, set()),
            ({"q": "nothing"}, set()),
            ({"q": "  "}, {"a", "b", "c"}),
        ],
    )
    async def test_is_narrowed(self, agent: Agent, query: dict[str, str], expected: set[str]) -> None:
        assert await found(agent, **query) == expected

    async def test_tells_verified_customers_from_claimed_ones(self, agent: Agent, desk: Desk) -> None:
        await desk.apply(desk.submitted(2, response_id="r-d", customer="d", comment="Late", verified=False))
        assert await found(agent, verified="true") == {"a", "b", "c"}
        assert await found(agent, verified="true", q="late") == {"b"}
        assert await found(agent, verified="false") == await found(agent, verified="false", q="late")
        assert await found(agent, verified="false") == {"claimed:d"}

    async def test_finds_a_case_by_its_number(self, agent: Agent, desk: Desk) -> None:
        number = (await desk.cases())[0]["number"]
        for q in (str(number), f"#{number}"):
            assert await found(agent, q=q) == {"a"}

    async def test_of_today_ends_at_midnight_of_the_store(self, agent: Agent, desk: Desk) -> None:
        now = datetime.now(STORE.zone)
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        moments = {"a": midnight - timedelta(seconds=1), "b": midnight, "c": now - timedelta(minutes=1)}
        async with desk.database.transaction() as session:
            for customer, at in moments.items():
                await session.execute(
                    text("""UPDATE notifier.cases SET resolve_due_at = :at, first_contact_due_at = :at
                            WHERE store = :store AND customer_ref = :ref"""),
                    {"at": at.astimezone(UTC), "store": desk.store, "ref": customer},
                )
        assert await found(agent, due="today") == {"a"}

    async def test_finds_what_a_later_comment_says(self, agent: Agent, desk: Desk) -> None:
        await desk.apply(desk.amended(response_id="r-b", comment="a zebra"))
        assert await found(agent, q="zebra") == {"b"}

    async def test_of_nonsense_is_422(self, agent: Agent) -> None:
        for query in ({"due": "tomorrow"}, {"q": "x" * 201}, {"q": "a\0b"}, {"wants_contact": "perhaps"}):
            assert (await agent.get("/v1/cases", **query)).status_code == 422, query
