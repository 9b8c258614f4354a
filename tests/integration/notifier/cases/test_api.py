"""The cases API over HTTP, as a support tool uses it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from services.notifier.cases.handlers import CaseHandlers
from services.notifier.cases.jobs import Clock
from shared.access import Scope
from shared.db import Database
from shared.http.paging import cursor_of
from tests.integration.notifier.agent import Agent, employ, key, served
from tests.integration.notifier.desk import Desk


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with served(database) as client:
        yield client


@pytest.fixture
async def agent(client: httpx.AsyncClient, desk: Desk) -> Agent:
    await employ(desk.database, desk.store, "kim@shop.example", "lee@shop.example")
    return Agent(client, await key(desk.database, desk.store, Scope.CASES_READ, Scope.CASES_WRITE))


@pytest.fixture
async def case_id(desk: Desk) -> str:
    """An open case of customer c-1, opened by answer r-1."""
    await desk.apply(desk.submitted(2, comment="late"))
    return str((await desk.case())["case_id"])


async def make_late(desk: Desk, case_id: str) -> None:
    """The clock of the first contact ran out an hour ago."""
    async with desk.database.transaction() as session:
        await session.execute(
            text(
                "UPDATE notifier.cases SET first_contact_due_at = now() - interval '1 h' WHERE case_id = :id"
            ),
            {"id": case_id},
        )


class TestTimes:
    async def test_of_an_opening_is_not_the_start_of_its_transaction(self, desk: Desk) -> None:
        handlers = CaseHandlers(desk.policies, "v1")  # by the clock of the machine
        async with desk.database.transaction() as session:
            await session.execute(text("SELECT 1"))
            await handlers.apply(session, [desk.submitted(2)])
        case = await desk.case()
        assert case["changed_at"] >= case["opened_at"]

    async def test_of_a_change_is_never_before_the_opening(
        self, agent: Agent, desk: Desk, case_id: str
    ) -> None:
        async with desk.database.transaction() as session:
            await session.execute(
                text("UPDATE notifier.cases SET changed_at = opened_at - interval '1 s' WHERE case_id = :id"),
                {"id": case_id},
            )
        shown = (await agent.get(f"/v1/cases/{case_id}")).json()
        assert shown["changed_at"] == shown["opened_at"]


class TestWorkingACase:
    async def test_from_open_to_closed(self, agent: Agent, desk: Desk, case_id: str) -> None:
        at = f"/v1/cases/{case_id}"
        opened = (await agent.get(at)).json()
        assert opened["status"] == "open"
        assert opened["allowed"] == ["assign", "contact", "note", "snooze", "resolve", "close", "dismiss"]
        assert opened["answer"]["comment"] == "late"
        assert opened["customer"]["email"] == "c-1@example.com"
        assert opened["deliveries"][0]["state"] == "pending"

        assert (await agent.post(f"{at}/assign", owner="kim@shop.example")).json()["status"] == "assigned"
        contacted = (await agent.post(f"{at}/contact", note="Called")).json()
        assert contacted["status"] == "contacted"
        assert contacted["first_contact"]["missed"] is False
        assert (await agent.post(f"{at}/note", note="Waits")).status_code == 200
        assert (await agent.post(f"{at}/resolve", root_cause="courier")).json()["status"] == "resolved"
        closed = (await agent.post(f"{at}/close", outcome="recovered")).json()

        assert (closed["status"], closed["root_cause"], closed["outcome"]) == (
            "closed",
            "courier",
            "recovered",
        )
        assert closed["allowed"] == ["note", "reopen"]
        assert [line["what"] for line in closed["history"]] == [
            "opened",
            "assigned",
            "contacted",
            "noted",
            "resolved",
            "closed",
        ]
        assert {line["who"][:4] for line in closed["history"][1:]} == {"key:"}
        assert await desk.emitted() == ["case.opened", *["case.changed"] * 4, "case.closed"]

    async def test_closing_needs_a_root_cause_and_an_outcome(self, agent: Agent, case_id: str) -> None:
        refused = await agent.post(f"/v1/cases/{case_id}/close", outcome="recovered")

        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/root_cause"]
        assert (await agent.get(f"/v1/cases/{case_id}")).json()["status"] == "open"

    async def test_what_the_state_does_not_allow_is_409_with_what_it_does(
        self, agent: Agent, case_id: str
    ) -> None:
        at = f"/v1/cases/{case_id}"
        assert (await agent.bare(f"{at}/reopen")).status_code == 409
        await agent.post(f"{at}/close", root_cause="x", outcome="churned")
        refused = await agent.post(f"{at}/contact")

        assert refused.status_code == 409
        assert refused.json()["allowed"] == ["note", "reopen"]
        assert refused.json()["state"] == "closed"

    async def test_the_first_contact_is_written_once_and_a_late_one_stays_a_miss(
        self, agent: Agent, desk: Desk, case_id: str
    ) -> None:
        await make_late(desk, case_id)
        first = (await agent.bare(f"/v1/cases/{case_id}/contact")).json()["first_contact"]
        again = (await agent.bare(f"/v1/cases/{case_id}/contact")).json()["first_contact"]

        assert first["missed"]
        assert again == first

    async def test_a_snooze_pauses_the_resolution_but_not_the_first_contact(
        self, agent: Agent, desk: Desk, case_id: str
    ) -> None:
        before = await desk.case()
        until = datetime.now(UTC) + timedelta(days=1)
        snoozed = await agent.post(f"/v1/cases/{case_id}/snooze", until=until.isoformat())
        assert snoozed.json()["status"] == "snoozed"
        async with desk.database.transaction() as session:
            await session.execute(
                text("""UPDATE notifier.cases SET snoozed_at = now() - interval '5 h',
                        snoozed_until = now() - interval '1 s' WHERE case_id = :id"""),
                {"id": case_id},
            )
        assert await Clock(desk.database, {}).tick() >= 1

        after = await desk.case()
        assert after["status"] == "open"
        assert after["first_contact_due_at"] == before["first_contact_due_at"]
        paused = after["resolve_due_at"] - before["resolve_due_at"]
        assert timedelta(hours=5) <= paused < timedelta(hours=5, minutes=1)

    async def test_dismissing_cancels_the_alert(self, agent: Agent, desk: Desk, case_id: str) -> None:
        dismissed = (await agent.post(f"/v1/cases/{case_id}/dismiss", reason="spam")).json()

        assert (dismissed["status"], dismissed["dismissed_because"]) == ("dismissed", "spam")
        assert [d["state"] for d in dismissed["deliveries"]] == ["cancelled"]

    async def test_a_customer_with_an_open_case_gets_no_second_one(
        self, agent: Agent, desk: Desk, case_id: str
    ) -> None:
        await agent.post(f"/v1/cases/{case_id}/dismiss", reason="spam")
        await desk.apply(desk.submitted(1, response_id="r-2"))
        refused = await agent.bare(f"/v1/cases/{case_id}/reopen")

        assert refused.status_code == 409
        assert refused.json()["type"] == "urn:closeloop:problem:another-open-case"

    @pytest.mark.parametrize("how", ["header", "body"])
    async def test_nobody_overwrites_what_he_has_not_seen(self, agent: Agent, case_id: str, how: str) -> None:
        at = f"/v1/cases/{case_id}"
        seen = (await agent.get(at)).headers["etag"]
        assert seen == '"1"'
        await agent.post(f"{at}/assign", owner="kim@shop.example")
        late = (
            await agent.post(f"{at}/assign", {"If-Match": seen}, owner="lee@shop.example")
            if how == "header"
            else await agent.post(f"{at}/assign", owner="lee@shop.example", version=1)
        )

        assert late.status_code == 409
        assert (late.json()["version"], late.json()["owner"]) == (2, "kim@shop.example")
        now = await agent.post(f"{at}/assign", {"If-Match": '"2"'}, owner="lee@shop.example")
        assert now.json()["owner"] == "lee@shop.example"

    @pytest.mark.parametrize(
        ("action", "body", "pointer"),
        [
            ("assign", {"owner": ""}, "/owner"),
            ("assign", {"owner": "k", "colour": "red"}, "/colour"),
            ("assign", {"owner": "a\0b"}, "/owner"),
            ("assign", {"owner": "kim@shop.example", "version": 2**31}, "/version"),
            ("note", {"note": "n", "version": 10**30}, "/version"),
            ("snooze", {"until": "2020-01-01T00:00:00Z"}, "/until"),
            ("snooze", {"until": "9999-12-31T23:59:59-14:00"}, "/until"),
            ("snooze", {"until": "2030-01-01T00:00:00"}, "/until"),
            ("snooze", {"until": "20300101T000000Z"}, "/until"),
            ("snooze", {"until": 1893456000}, "/until"),
            ("close", {"root_cause": "x", "outcome": "great"}, "/outcome"),
            ("dismiss", {}, "/reason"),
            ("note", {"note": "n" * 4001}, "/note"),
        ],
    )
    async def test_a_body_that_does_not_fit_is_422_with_its_place(
        self, agent: Agent, case_id: str, action: str, body: dict[str, Any], pointer: str
    ) -> None:
        refused = await agent.post(f"/v1/cases/{case_id}/{action}", **body)

        assert refused.status_code == 422
        assert pointer in [error["pointer"] for error in refused.json()["errors"]]


class TestTheList:
    async def test_has_the_clock_that_runs_out_first_on_top_page_by_page(
        self, agent: Agent, desk: Desk
    ) -> None:
        begun = desk.now
        for n in (3, 1, 4, 0, 2):
            desk.now = begun + timedelta(minutes=n)
            await desk.apply(desk.submitted(2, response_id=f"r-{n}", customer=f"c-{n}"))
        seen: list[str] = []
        path = "/v1/cases?limit=2&status=live"
        while path:
            page = await agent.get(path)
            seen += [case["customer"]["ref"] for case in page.json()["cases"]]
            path = page.headers.get("link", "").partition(">")[0].removeprefix("<")

        assert seen == ["c-0", "c-1", "c-2", "c-3", "c-4"]

    async def test_filters(self, agent: Agent, desk: Desk) -> None:
        for n in range(3):
            await desk.apply(desk.submitted(2, response_id=f"r-{n}", customer=f"c-{n}"))
        ids = {case["customer_ref"]: case["case_id"] for case in await desk.cases()}
        await agent.post(f"/v1/cases/{ids['c-1']}/assign", owner="kim@shop.example")
        await agent.post(f"/v1/cases/{ids['c-2']}/close", root_cause="x", outcome="churned")
        await make_late(desk, ids["c-0"])

        async def found(**query: str) -> list[str]:
            return sorted(
                c["customer"]["ref"] for c in (await agent.get("/v1/cases", **query)).json()["cases"]
            )

        assert await found() == ["c-0", "c-1", "c-2"]
        assert await found(status="open,assigned") == ["c-0", "c-1"]
        assert await found(status="closed") == ["c-2"]
        assert await found(owner="kim@shop.example") == ["c-1"]
        assert await found(owner="none", status="live") == ["c-0"]
        assert await found(overdue="true") == ["c-0"]
        assert await found(overdue="false", status="live") == ["c-1"]
        assert await found(priority="urgent") == []

    @pytest.mark.parametrize(
        ("due", "status"),
        [
            ("2026-W01-1T00:00:00+00:00", 200),
            ("2026-01-01T00:00:00+01:00:00.000001", 200),
            ("0001-01-01T00:00+23:59", 422),
        ],
    )
    async def test_from_a_place_that_postgresql_would_not_read(
        self, agent: Agent, due: str, status: int
    ) -> None:
        assert (await agent.get("/v1/cases", cursor=cursor_of(due, "a"))).status_code == status

    @pytest.mark.parametrize(
        "query",
        [
            {"status": "odd"},
            {"cursor": "???"},
            {"cursor": "WyJhIiwiYiJd"},
            {"limit": 0},
            {"priority": "x"},
            {"cursor": "WyJpbmZpbml0eSIsICJcdTAwMDAiXQ"},
            {"owner": "a\0"},
            {"tier": "\0"},
            {"tier": "bronze"},
            {"team": "cares"},
            {"watcher": "\0"},
            {"q": "\0"},
        ],
    )
    async def test_of_nonsense_is_422(self, agent: Agent, query: dict[str, Any]) -> None:
        assert (await agent.get("/v1/cases", **query)).status_code == 422


class TestDeliveries:
    async def test_dead_ones_are_shown_and_sent_again(self, agent: Agent, desk: Desk, case_id: str) -> None:
        [pending] = (await agent.get("/v1/deliveries")).json()["deliveries"]
        assert (await agent.bare(f"/v1/deliveries/{pending['id']}/replay")).status_code == 409
        async with desk.database.transaction() as session:
            await session.execute(
                text("UPDATE notifier.deliveries SET state = 'dead', attempt = 10 WHERE delivery_id = :id"),
                {"id": pending["id"]},
            )
        [dead] = (await agent.get("/v1/deliveries", state="dead")).json()["deliveries"]
        replayed = await agent.bare(f"/v1/deliveries/{dead['id']}/replay")

        assert replayed.status_code == 202
        assert (replayed.json()["state"], replayed.json()["attempt"]) == ("pending", 0)
        assert (await agent.get("/v1/deliveries", state="dead")).json()["deliveries"] == []
        assert (await desk.history())[-1] == "delivery_replayed"


class TestTheDoor:
    async def test_another_store_sees_and_changes_nothing(
        self, client: httpx.AsyncClient, agent: Agent, desk: Desk, case_id: str
    ) -> None:
        stranger = Agent(client, await key(desk.database, "other", Scope.ADMIN))
        [delivery] = (await agent.get("/v1/deliveries")).json()["deliveries"]

        assert (await stranger.get(f"/v1/cases/{case_id}")).status_code == 404
        assert (await stranger.post(f"/v1/cases/{case_id}/assign", owner="me")).status_code == 404
        assert (await stranger.bare(f"/v1/deliveries/{delivery['id']}/replay")).status_code == 404
        assert (await stranger.get("/v1/cases", store=desk.store)).status_code == 404
        assert case_id not in (await stranger.get("/v1/cases")).text
        assert (await desk.case())["version"] == 1

    async def test_reading_is_not_writing(self, client: httpx.AsyncClient, desk: Desk, case_id: str) -> None:
        reader = Agent(client, await key(desk.database, desk.store, Scope.CASES_READ))

        assert (await reader.get(f"/v1/cases/{case_id}")).status_code == 200
        assert (await reader.post(f"/v1/cases/{case_id}/assign", owner="me")).status_code == 403
        assert (await client.get("/v1/cases")).status_code == 401

    async def test_every_route_is_described(self, client: httpx.AsyncClient) -> None:
        described = (await client.get("/openapi/notifier.json")).json()

        actions = [p for p in described["paths"] if p.startswith("/v1/cases/{case_id}/")]
        assert len(actions) == 11
        for path in actions:
            body = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            assert body["schema"]["additionalProperties"] is False
            assert "example" in body


class TestWhomToWriteTo:
    async def test_is_never_taken_from_somebody_who_only_claims_to_be_the_customer(
        self, agent: Agent, desk: Desk, case_id: str
    ) -> None:
        claimed = desk.submitted(0, response_id="r-2", verified=False)
        other = claimed.event.customer.model_copy(update={"email": "evil@example.org"})  # type: ignore[attr-defined]
        await desk.apply(claimed._replace(event=claimed.event.model_copy(update={"customer": other})))

        shown = (await agent.get(f"/v1/cases/{case_id}")).json()
        assert shown["customer"]["email"] == "c-1@example.com"
        assert [answer["verified"] for answer in shown["all_answers"]] == [True]
        [apart] = [case for case in await desk.live() if case["case_id"] != case_id]
        assert not apart["verified"]
