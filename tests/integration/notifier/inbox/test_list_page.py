"""The list of cases, as a browser gets it."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import text

from services.notifier.deliveries import holds
from services.notifier.deliveries.holds import Why
from services.notifier.inbox.search import ListQuery, place_of, query_of_address
from shared.db import Database
from tests.integration.notifier.inbox_pages import Agent, Branch

_NAMES = re.compile(r"data-open><bdi>([^<]*)</bdi>")
_COUNT = re.compile(r'>([^<>]+)<span class="count[^"]*">([^<]*)</span>')


def names(page: httpx.Response) -> list[str]:
    """The customers of the list, in its order."""
    return _NAMES.findall(page.text)


def counts(page: httpx.Response) -> dict[str, str]:
    """What stands beside each view."""
    return dict(_COUNT.findall(page.text.split("<main")[1]))


class TestTheList:
    async def test_has_the_clock_that_runs_out_first_on_top(self, branch: Branch, noor: Agent) -> None:
        for name, hours in (("Late", 3), ("Over", -1), ("Soon", 0.5)):
            case_id = await branch.open(name, comment="broken")
            await branch.set(case_id, f"first_contact_due_at = now() + interval '{hours} h'")

        page = await noor.get("/inbox")

        assert names(page) == ["Over", "Soon", "Late"]
        assert "Overdue 1 h" in page.text
        assert "clock-soon" in page.text
        assert counts(page) | {"All open": "3", "Overdue": "1", "Unassigned": "3"} == counts(page)
        assert "<title>Inbox, 1 overdue" in page.text

    async def test_says_at_its_top_that_alerts_are_held_back(
        self, branch: Branch, noor: Agent, database: Database
    ) -> None:
        assert "Alerts are held back" not in (await noor.get("/inbox")).text
        async with database.transaction() as session:
            await holds.hold(session, Why.OPERATOR)
        try:
            page = await noor.get("/inbox")
        finally:
            async with database.transaction() as session:
                await holds.release(session)

        (notice,) = re.findall(r'<div class="notice notice-warn".*?</div>\s*</div>', page.text, re.DOTALL)
        assert "Alerts are held back" in notice
        assert re.search(r"Since <time datetime=\"20.+</time> nobody is told", notice)

    async def test_the_views_narrow_it(self, branch: Branch, noor: Agent) -> None:
        mine, snoozed, done = [await branch.open(name) for name in ("Mine", "Snoozed", "Resolved")]
        await branch.open("Nobodys")
        await noor.act(mine, "take")
        await noor.act(snoozed, "snooze", until=f"{branch.desk.now + timedelta(days=3):%Y-%m-%dT%H:%M}")
        await noor.act(done, "resolve", root_cause="Carrier delay", outcome="recovered")
        await noor.act(snoozed, "watch")

        seen = {view: set(names(await noor.get("/inbox", view=view))) for view in (
            "open", "mine", "unassigned", "snoozed", "resolved", "watching",
        )}  # fmt: skip

        assert seen == {
            "open": {"Mine", "Snoozed", "Resolved", "Nobodys"},
            "mine": {"Mine"},
            "unassigned": {"Snoozed", "Resolved", "Nobodys"},
            "snoozed": {"Snoozed"},
            "resolved": {"Resolved"},
            "watching": {"Snoozed"},
        }

    async def test_filters_and_search_are_in_the_address(self, branch: Branch, noor: Agent) -> None:
        urgent = await branch.open("Ruth", comment="the zip is broken")
        await branch.set(urgent, "priority = 'urgent', owner = 'kim@shop.example', team = 'care'")
        await branch.open("Tom", comment="late again")

        assert names(await noor.get("/inbox", priority="urgent")) == ["Ruth"]
        assert names(await noor.get("/inbox", owner="kim@shop.example")) == ["Ruth"]
        assert names(await noor.get("/inbox", owner="none")) == ["Tom"]
        assert names(await noor.get("/inbox", team="care")) == ["Ruth"]
        assert names(await noor.get("/inbox", q="brok")) == ["Ruth"]
        assert names(await noor.get("/inbox", q="late tom")) == ["Tom"]
        assert names(await noor.get("/inbox", q="tom", priority="urgent")) == []

    async def test_a_parameter_that_is_none_is_refused(self, noor: Agent) -> None:
        refused = await noor.get("/inbox", statuss="open")
        assert refused.status_code == 422
        assert "statuss" in refused.text
        assert (await noor.get("/inbox", utm_source="mail", view="open")).status_code == 200

    @pytest.mark.parametrize("q", ["'", "\\", "a & b | !c:*", "%00", "(", "  ", "<script>", "ü" * 300])
    async def test_any_search_is_answered(self, branch: Branch, noor: Agent, q: str) -> None:
        await branch.open("Tom")
        assert (await noor.get("/inbox", q=q)).status_code == 200

    async def test_a_search_that_finds_nothing_goes_on_among_closed_cases(
        self, branch: Branch, noor: Agent
    ) -> None:
        case_id = await branch.open("Ruth")
        await noor.act(case_id, "close", root_cause="Carrier delay", outcome="recovered")

        page = await noor.get("/inbox", q="ruth")
        assert "No case matches" in page.text
        assert names(await noor.get("/inbox", q="ruth", view="all")) == ["Ruth"]

    async def test_pages_of_fifty_lose_and_repeat_nobody(self, branch: Branch, noor: Agent) -> None:
        for number in range(53):
            await branch.open(f"P{number:02}")

        first = await noor.get("/inbox")
        assert len(names(first)) == 50
        assert "Cases 1 to 50" in first.text
        following = re.search(r'href="([^"]+)" rel="next"', first.text)
        assert following
        second = await noor.get(following[1].replace("&amp;", "&"))

        assert "Cases 51 to 53" in second.text
        assert sorted(names(first) + names(second)) == [f"P{number:02}" for number in range(53)]

    async def test_an_empty_store_says_who_closed_the_last_case(self, branch: Branch, noor: Agent) -> None:
        assert "Nobody is waiting for you" in (await noor.get("/inbox")).text
        await noor.act(await branch.open("Ruth"), "close", root_cause="x", outcome="recovered")
        assert "Noor Bakker closed the last case" in (await noor.get("/inbox")).text

    async def test_hostile_texts_are_texts(self, branch: Branch, noor: Agent) -> None:
        await branch.open("<img src=x onerror=alert(1)>", comment="<b>bold</b>\u202e" + "x" * 9_990)

        page = await noor.get("/inbox")

        assert "<img src=x" not in page.text
        assert "<b>bold" not in page.text
        assert "&lt;b&gt;bold" in page.text

    async def test_another_store_is_not_there(self, branch: Branch, noor: Agent) -> None:
        assert (await noor.get("/inbox", store=branch.there)).status_code == 404
        assert (await noor.get("/inbox/live", store=branch.there)).status_code == 404

    async def test_who_is_signed_out_is_led_to_the_door(self, client: httpx.AsyncClient) -> None:
        shown = await client.get("/inbox?view=mine", headers={"Accept": "text/html"})
        assert shown.headers["location"] == "/login?next=/inbox%3Fview%3Dmine"
        stream = await client.get("/inbox/live", headers={"Accept": "text/event-stream"})
        assert stream.status_code == 401

    async def test_counts_stop_at_a_thousand(self, branch: Branch, noor: Agent) -> None:
        await branch.open("Ruth")
        async with branch.database.transaction() as session:
            await session.execute(
                text("""INSERT INTO notifier.cases (case_id, store, customer_ref, response_id, status,
                            priority, rule, config_version, verified, opened_at, first_contact_due_at,
                            resolve_due_at,
                            resolve_hours, reopened, version)
                        SELECT gen_random_uuid(), store, 'n' || n, 'n' || n, status, priority, rule,
                               config_version, verified, opened_at, first_contact_due_at,
                            resolve_due_at,
                               resolve_hours, 0, 1
                        FROM notifier.cases, generate_series(1, 1200) n WHERE store = :store"""),
                {"store": branch.here},
            )
        assert counts(await noor.get("/inbox"))["All open"] == "999+"


class TestSavedViews:
    async def test_are_kept_for_the_person_and_can_be_removed(self, branch: Branch, noor: Agent) -> None:
        case_id = await branch.open("Ruth")
        await branch.set(case_id, "priority = 'urgent'")
        page = await noor.get("/inbox", priority="urgent")

        saved = await noor.post("/inbox/views?priority=urgent", page, name="Burning")
        assert saved.status_code == 303
        page = await noor.get(saved.headers["location"])
        assert counts(page)["Burning"] == "1"
        assert "Saved as Burning." in page.text

        removal = re.search(r'action="(/inbox/views/[^"]+/remove[^"]*)"', page.text)
        assert removal
        gone = await noor.post(removal[1].replace("&amp;", "&"), page)
        page = await noor.get(gone.headers["location"])
        assert "Burning" not in counts(page)
        assert "Undo" in page.text

    async def test_nobody_else_sees_or_removes_them(
        self, branch: Branch, noor: Agent, client: httpx.AsyncClient
    ) -> None:
        page = await noor.get("/inbox", priority="urgent")
        await noor.post("/inbox/views?priority=urgent", page, name="Burning")
        [view] = await branch.desk.rows("SELECT * FROM notifier.saved_views WHERE store = :store")

        client.cookies.clear()
        await noor.sign_in(await branch.hire("David Osei"))
        page = await noor.get("/inbox")
        assert "Burning" not in page.text
        assert (await noor.post(f"/inbox/views/{view['view_id']}/remove", page)).status_code == 404

    async def test_one_without_a_name_is_refused_at_the_field(self, noor: Agent) -> None:
        refused = await noor.post("/inbox/views", await noor.get("/inbox"), name=" ")
        assert refused.status_code == 422
        assert "Give the view a name." in refused.text


class TestBulk:
    async def test_assigns_what_is_selected(self, branch: Branch, noor: Agent) -> None:
        first, second = await branch.open("Ruth"), await branch.open("Tom")

        done = await noor.post(
            "/inbox/bulk", await noor.get("/inbox"), do="assign", owner=branch.email("Noor"),
            case=[f"{first}:1", f"{second}:1"],
        )  # fmt: skip

        assert done.status_code == 303
        assert "Assigned 2 cases to Noor Bakker." in (await noor.get("/inbox")).text
        assert {case["owner"] for case in await branch.desk.cases()} == {branch.email("Noor")}

    async def test_asks_again_to_whom_when_nobody_of_the_store_was_meant(
        self, branch: Branch, noor: Agent
    ) -> None:
        case_id = await branch.open("Ruth")

        asked = await noor.post(
            "/inbox/bulk", await noor.get("/inbox"), do="assign", owner="gone@x.example", case=f"{case_id}:1"
        )
        assert asked.status_code == 422
        assert "Choose somebody of this store." in asked.text
        done = await noor.post(
            "/inbox/bulk", asked, do="assign", owner=branch.email("Noor"), case=f"{case_id}:1"
        )

        assert f'<option value="{branch.email("Noor")}" selected>' in asked.text
        assert done.status_code == 303
        assert (await branch.case(case_id))["owner"] == branch.email("Noor")

    async def test_names_those_that_were_refused_and_does_the_others(
        self, branch: Branch, noor: Agent
    ) -> None:
        stale, good, closed = [await branch.open(name) for name in ("Ruth", "Tom", "Ann")]
        await noor.act(stale, "note", text="I called")
        await noor.act(closed, "close", root_cause="x", outcome="recovered")
        foreign = "0" * 32

        answer = await noor.post(
            "/inbox/bulk", await noor.get("/inbox"), do="assign", owner=branch.email("Noor"),
            case=[f"{stale}:1", f"{good}:1", f"{closed}:2", f"{foreign}:1"],
        )  # fmt: skip

        assert answer.status_code == 409
        assert "Assigned 1 case to Noor Bakker." in answer.text
        assert "Noor Bakker changed it since you opened the list." in answer.text
        assert "It is closed now." in answer.text
        assert "There is no such case." in answer.text
        assert (await branch.case(good))["owner"] == branch.email("Noor")
        assert (await branch.case(stale))["owner"] is None

    async def test_snoozing_asks_until_when_and_can_be_undone(self, branch: Branch, noor: Agent) -> None:
        case_id = await branch.open("Ruth")

        query = await noor.post("/inbox/bulk", await noor.get("/inbox"), do="snooze", case=f"{case_id}:1")
        assert query.status_code == 200
        assert "Snooze 1 case" in query.text
        wrong = await noor.post("/inbox/bulk", query, do="snooze", case=f"{case_id}:1", until="tomorrow")
        assert wrong.status_code == 422
        until = f"{branch.desk.now + timedelta(days=2):%Y-%m-%dT%H:%M}"
        done = await noor.post("/inbox/bulk", query, do="snooze", case=f"{case_id}:1", until=until)
        assert done.status_code == 303
        page = await noor.get("/inbox")
        assert "Undo" in page.text
        await noor.post("/inbox/bulk", page, do="wake", case=f"{case_id}:2")
        assert (await branch.case(case_id))["status"] == "open"

    async def test_only_a_manager_dismisses_several_with_a_reason(
        self, branch: Branch, noor: Agent, client: httpx.AsyncClient
    ) -> None:
        case_id = await branch.open("Ruth")
        page = await noor.get("/inbox")
        assert 'value="dismiss"' not in page.text
        refused = await noor.post("/inbox/bulk", page, do="dismiss", case=f"{case_id}:1", reason="Spam")
        assert refused.status_code == 403

        client.cookies.clear()
        await noor.sign_in(await branch.hire("Ines Moreau", role="manager"))
        page = await noor.get("/inbox")
        query = await noor.post("/inbox/bulk", page, do="dismiss", case=f"{case_id}:1")
        assert "Why should these not be cases?" in query.text
        await noor.post("/inbox/bulk", query, do="dismiss", case=f"{case_id}:1", reason="Spam")
        assert (await branch.case(case_id))["dismissed_because"] == "Spam"

    async def test_without_its_token_nothing_is_done(
        self, branch: Branch, noor: Agent, client: httpx.AsyncClient
    ) -> None:
        case_id = await branch.open("Ruth")
        for token in ("", "wrong"):
            fields = {"do": "assign", "owner": branch.email("Noor"), "case": f"{case_id}:1", "csrf": token}
            sent = await client.post("/inbox/bulk", data=fields, headers={"Accept": "text/html"})
            assert sent.status_code == 403
        assert (await branch.case(case_id))["owner"] is None

    async def test_nothing_selected_is_said(self, noor: Agent) -> None:
        await noor.post("/inbox/bulk", await noor.get("/inbox"), do="assign", owner="x")
        assert "Select the cases first." in (await noor.get("/inbox")).text


class TestAddresses:
    def test_say_all_that_was_asked(self) -> None:
        query = ListQuery(view="mine", q="a b", priority="high", owner="kim@x", team="care")
        assert query_of_address(dict(httpx.QueryParams(query.query_string()))) == query

    def test_what_means_nothing_is_left_out(self) -> None:
        assert (
            query_of_address({"view": "x", "priority": "x", "after": "x", "first": "-1", "q": "\0"})
            == ListQuery()
        )

    @pytest.mark.parametrize(
        "due", ["2026-W01-1T00:00:00+00:00", "2026-01-01T00:00:00+01:00:00.000001", "0001-01-01T00:00+23:59"]
    )
    async def test_of_a_place_that_postgresql_would_not_read(self, noor: Agent, due: str) -> None:
        assert (await noor.get(f"/inbox?{urlencode({'after': due + '~a'})}")).status_code == 200

    @pytest.mark.parametrize("text", ["", "~", "2026-99-99 10:00:00+00~a", "now()~a", "infinity~'"])
    def test_a_place_that_is_none(self, text: str) -> None:
        assert place_of(text) is None
