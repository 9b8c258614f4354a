"""The report page as a lead and an agent read it, behind the real sign-in and without scripts."""

import csv
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from services.notifier.report.pages import FOLDER, customers_to_inform_routes, report_routes
from services.notifier.settings import Alerts
from shared.access import users
from shared.access.roster import Roster
from shared.config.secrets import Secrets
from shared.pages.door import add_pages
from shared.pages.pages import Pages
from shared.pages.people import Visitors
from tests.integration.notifier.application import bare_application
from tests.integration.notifier.desk import Desk, webhook
from tests.integration.notifier.past_cases import AMSTERDAM, PastCases

SECRETS = Secrets("0123456789abcdef0123456789abcdef")
PASSWORD = "seven green boats"


class Lead:
    """Somebody who signed in with a browser that runs no scripts."""

    def __init__(self, client: httpx.AsyncClient, desk: Desk, email: str) -> None:
        self.client = client
        self.desk = desk
        self.email = email

    async def open(self, path: str) -> httpx.Response:
        return await self.client.get(path, headers={"Accept": "text/html"})

    async def send(self, path: str, shown_at: str, **fields: Any) -> httpx.Response:
        csrf = re.search(r'name="csrf" value="([^"]+)"', (await self.open(shown_at)).text)
        assert csrf
        return await self.client.post(path, data={"csrf": csrf[1], **fields}, headers={"Accept": "text/html"})


def application(desk: Desk, alerts: Alerts) -> tuple[FastAPI, Roster]:
    roster = Roster(desk.database)
    stores = {desk.store: AMSTERDAM}
    pages = Pages(FOLDER, visitors=Visitors(desk.database, roster, SECRETS), stores=stores, current="inbox")

    app = bare_application(desk.database, SECRETS.pepper)
    app.include_router(
        report_routes(
            desk.database,
            pages,
            policies={desk.store: alerts.policy},
            channels={desk.store: alerts.channels},
            ring=lambda: None,
        )
    )
    app.include_router(customers_to_inform_routes(desk.database, pages))
    add_pages(app, pages)
    return app, roster


@asynccontextmanager
async def signed_in(desk: Desk, role: str) -> AsyncIterator[Lead]:
    email = f"ines.{uuid4().hex[:8]}@shop.example"
    async with desk.database.transaction() as session:
        await users.ensure(
            session, email=email, password=PASSWORD, store=desk.store, role=role, name="Ines Moreau"
        )
    alerts = Alerts.model_validate(
        {
            "channels": {"hook": webhook(), "slack": {"kind": "slack", "url": ""}},
            "rules": [{"name": "furious", "priority": "urgent", "first_contact_hours": 4}],
            "teams": {"care": {}},
        }
    )
    app, roster = application(desk, alerts)
    await roster.refresh()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=("192.0.2.7", 4711)), base_url="http://notifier.example"
    ) as client:
        lead = Lead(client, desk, email)
        await lead.send("/login", "/login", email=email, password=PASSWORD)
        yield lead


@pytest.fixture
async def lead(desk: Desk) -> AsyncIterator[Lead]:
    async with signed_in(desk, "manager") as lead:
        yield lead


@pytest.fixture
async def agent(desk: Desk) -> AsyncIterator[Lead]:
    async with signed_in(desk, "agent") as agent:
        yield agent


@pytest.fixture
def past(desk: Desk) -> PastCases:
    return PastCases(desk, now=datetime.now(UTC))


def text_of(page: httpx.Response) -> str:
    """What is read, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


class TestTheReportPage:
    async def test_says_the_counts_beside_each_share(self, lead: Lead, past: PastCases) -> None:
        for hours in (0.5, 1.5, 3, 5, 30):
            await past.case(opened=past.ago(days=3), contacted_after=hours, owner=lead.email)
        await past.case(opened=past.ago(days=3), contacted_after=2, closed=past.ago(days=1), owner="kofi@x")
        await past.case(opened=past.ago(hours=1))
        page = await lead.open("/inbox/report")
        text = text_of(page)

        assert page.status_code == 200
        assert "67% 4 of 6" in text
        assert "First contact, median 2 h 30 min" in text
        assert "IM Ines Moreau 5 0 60% 3 of 5 3 h" in text
        assert "too few to judge" in text
        assert "1 noted as recovered, 0 proved." in text
        assert "0% 0 of 1 none before to compare with" in text
        assert "promise for urgent: 4 h" in text
        assert "Carrier delay 1 +1 now and then Tell 1 customer what changed" in text

    async def test_has_nothing_inline_and_only_its_own_host(self, lead: Lead, past: PastCases) -> None:
        await past.case(opened=past.ago(days=3), contacted_after=2, cause="<b>Lost</b>", closed=past.now)
        page = await lead.open("/inbox/report")

        assert not re.search(r"<[^>]+\s(style|on\w+)=", page.text)
        assert not re.search(r"<script(?![^>]+src=)", page.text)
        assert "unsafe-inline" not in page.headers["content-security-policy"]
        assert "<b>Lost</b>" not in page.text
        assert "&lt;b&gt;Lost&lt;/b&gt;" in page.text

    async def test_of_an_empty_store_shows_what_is_missing(self, lead: Lead) -> None:
        text = text_of(await lead.open("/inbox/report"))
        assert "Contacted in time – no clock has ended yet" in text
        assert "0 of 0" not in text
        assert "No case of this period had its first contact yet." in text
        assert "Nothing was closed in this period" in text

    async def test_keeps_every_filter_in_the_address(self, lead: Lead) -> None:
        page = await lead.open("/inbox/report?period=month:2026-10&team=care&priority=urgent")
        links = re.findall(r'href="(/inbox/report[^"]*)"', page.text)

        assert any("period=7d&amp;team=care&amp;priority=urgent" in link for link in links)
        assert "<option selected>care</option>" in page.text
        assert "October 2026, read" in text_of(page)
        assert "team care, urgent priority" in text_of(page)

    async def test_of_a_wrong_address_says_so_and_shows_the_usual_one(self, lead: Lead) -> None:
        page = await lead.open("/inbox/report?period=week:7")
        assert page.status_code == 200
        assert "That address names no report" in page.text

    async def test_goes_out_as_csv(self, lead: Lead, past: PastCases) -> None:
        await past.case(opened=past.ago(days=3), contacted_after=2)
        page = await lead.open("/inbox/report")
        [link] = re.findall(r'href="(/inbox/report\.csv[^"]*)"', page.text)
        reply = await lead.client.get(link.replace("&amp;", "&"))
        rows = list(csv.DictReader(io.StringIO(reply.text)))

        assert reply.headers["content-type"].startswith("text/csv")
        assert [row["value"] for row in rows if row["name"] == "opened"] == ["1"]

    async def test_an_agent_sees_the_own_figures_alone(self, agent: Lead, past: PastCases) -> None:
        await past.case(opened=past.ago(days=3), owner="kofi@shop.example")
        await past.case(opened=past.ago(days=3), owner=agent.email)
        page = await agent.open("/inbox/report")
        export = await agent.client.get("/inbox/report.csv")

        assert "kofi@shop.example" not in page.text + export.text
        assert agent.email in export.text
        assert "Send a test" not in page.text
        assert (await agent.send("/inbox/report/test", "/account", channel="hook")).status_code == 403

    async def test_sends_a_test_and_sends_dead_ones_again(
        self, lead: Lead, desk: Desk, past: PastCases
    ) -> None:
        case_id = await past.case(opened=past.ago(days=3))
        sent = await lead.send("/inbox/report/test", "/inbox/report", channel="hook", query="period=7d")
        assert (sent.status_code, sent.headers["location"]) == (303, "/inbox/report?period=7d")
        assert "A test is on its way through hook" in (await lead.open("/inbox/report")).text
        assert [d["channel"] for d in await desk.deliveries()] == ["hook"]

        await past.delivery(case_id, "hook", "dead", 5, last_status=404)
        assert "Send 1 again" in text_of(await lead.open("/inbox/report"))
        await lead.send("/inbox/report/replay", "/inbox/report", channel="hook")
        assert "1 alerts of hook are sent again." in (await lead.open("/inbox/report")).text
        assert {d["state"] for d in await desk.deliveries()} == {"pending"}
        assert (await desk.history())[-1] == "delivery_replayed"

    async def test_refuses_a_form_without_its_token(self, lead: Lead) -> None:
        refused = await lead.client.post(
            "/inbox/report/test", data={"channel": "hook"}, headers={"Accept": "text/html"}
        )
        assert refused.status_code == 403

    async def test_is_for_who_signed_in(self, lead: Lead) -> None:
        lead.client.cookies.clear()
        assert (await lead.open("/inbox/report")).headers["location"].startswith("/login?next=")


class TestTellingPeople:
    async def test_lists_marks_and_leaves_nobody_twice(self, lead: Lead, desk: Desk, past: PastCases) -> None:
        for _ in range(2):
            await past.case(opened=past.ago(days=3), closed=past.ago(days=2), cause="Lost & found")
        report = await lead.open("/inbox/report")
        [address] = re.findall(r'href="(/inbox/report/tell[^"]*)"', report.text)
        address = address.replace("&amp;", "&")
        page = await lead.open(address)
        assert "2 customers to tell" in page.text
        assert "Mark 2 as told" in page.text

        await past.case(opened=past.ago(days=1), closed=past.now + timedelta(hours=1), cause="Lost & found")
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
        fields["cause"] = fields["cause"].replace("&amp;", "&")
        sent = await lead.send(
            "/inbox/report/tell", address, **{k: v for k, v in fields.items() if k != "csrf"}
        )
        assert sent.status_code == 303
        assert "2 cases of “Lost &amp; found” are marked" in (await lead.open("/inbox/report")).text
        assert "Nobody is left to tell" in (await lead.open(address)).text
        rows = await desk.rows(
            "SELECT DISTINCT h.who FROM notifier.history h JOIN notifier.cases c USING (case_id)"
            " WHERE c.store = :store AND h.what = 'told'"
        )
        assert rows == [{"who": f"user:{lead.email}"}]

    async def test_exports_the_customers(self, lead: Lead, desk: Desk, past: PastCases) -> None:
        await past.case(opened=past.ago(days=3), closed=past.ago(days=2))
        reply = await lead.client.get("/inbox/report/tell.csv?cause=Carrier%20delay")
        [row] = csv.DictReader(io.StringIO(reply.text))
        assert row["outcome"] == "recovered"

    async def test_of_no_cause_is_a_page_that_says_so(self, lead: Lead) -> None:
        assert (await lead.open("/inbox/report/tell")).status_code == 422
