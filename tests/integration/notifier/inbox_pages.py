"""The pages of the inbox behind the real sign-in, with two stores, the people in them, and cases to work."""

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from services.notifier import inbox
from services.notifier.report.pages import FOLDER as REPORT_FOLDER
from services.notifier.report.pages import report_routes
from services.notifier.settings import Alerts
from shared.access import users
from shared.access.roster import Roster
from shared.config.secrets import Secrets
from shared.config.stores import Store
from shared.db import Database
from shared.events.responses import Customer
from shared.pages.door import add_pages
from shared.pages.pages import Pages
from shared.pages.people import Visitors
from tests.integration.notifier.application import bare_application
from tests.integration.notifier.desk import Desk, received, webhook

SECRETS = Secrets("0123456789abcdef0123456789abcdef")
PASSWORD = "seven green boats"
PAGE = {"Accept": "text/html"}

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_VERSION = re.compile(r'data-case="[^"]+" data-version="(\d+)"')


def alerts_section(**given: Any) -> Alerts:
    return Alerts.model_validate(
        {
            "channels": {"alerts": webhook()},
            "root_causes": ["Carrier delay", "Damaged in transit"],
            "replies": [{"name": "Apology", "text": "Dear {{ name }}, we are sorry about {{ order }}."}],
            **given,
        }
    )


@dataclass
class Branch:
    """Two stores of its own; `here` has the cases that `desk` opens."""

    database: Database
    there: str = field(default_factory=lambda: f"t{uuid4().hex[:10]}")
    given: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.desk = Desk(self.database, alerts=alerts_section(**self.given))
        self.other_desk = Desk(self.database, alerts=alerts_section(), store=self.there)
        self.rung = 0

    @property
    def here(self) -> str:
        return self.desk.store

    @property
    def stores(self) -> dict[str, Store]:
        tiers = [{"name": name} for name in ("Bronze", "Silver", "Gold", "Platinum")]
        return {
            self.here: Store(name="Harbour Goods", timezone="Europe/Amsterdam", loyalty={"tiers": tiers}),
            self.there: Store(name="Harbour Outlet"),
        }

    def email(self, name: str) -> str:
        return f"{name.split(maxsplit=1)[0].lower()}.{self.here}@shop.example"

    async def hire(self, name: str = "Noor Bakker", role: str = "agent", store: str = "") -> str:
        """Somebody with a password; their e-mail."""
        async with self.database.transaction() as session:
            await users.ensure(
                session,
                email=self.email(name),
                password=PASSWORD,
                store=store or self.here,
                role=role,
                name=name,
            )
        await self.roster.refresh()
        return self.email(name)

    async def open(self, name: str = "Ann", score: int = 2, *, email: str = "", **given: Any) -> str:
        """A case of a customer of this name and e-mail address; its id."""
        ref = f"c-{uuid4().hex[:8]}"
        told = self.desk.submitted(score, response_id=f"r-{uuid4().hex[:8]}", customer=ref, **given)
        customer = Customer(ref=ref, id=ref, email=email or f"{ref}@example.com", name=name)
        await self.desk.apply(received(told.event.model_copy(update={"customer": customer})))
        rows = await self.desk.rows(
            f"SELECT case_id FROM notifier.cases WHERE store = :store AND customer_ref LIKE '%{ref}'"
        )
        return str(rows[0]["case_id"])

    async def case(self, case_id: str) -> dict[str, Any]:
        return next(case for case in await self.desk.cases() if case["case_id"] == case_id)

    async def set(self, case_id: str, change: str) -> None:
        """Change a row of a case as time would have."""
        async with self.database.transaction() as session:
            await session.execute(
                text(f"UPDATE notifier.cases SET {change} WHERE case_id = :id"), {"id": case_id}
            )

    def application(self) -> FastAPI:
        self.roster = Roster(self.database)
        overdue = inbox.Overdue()
        pages = Pages(
            inbox.FOLDER,
            REPORT_FOLDER,
            visitors=Visitors(self.database, self.roster, SECRETS),
            stores=self.stores,
            current="inbox",
            overdue=overdue.of,
        )

        app = bare_application(self.database, SECRETS.pepper)
        policies = self.desk.policies | self.other_desk.policies
        channels = {**self.desk.channels, **self.other_desk.channels}
        app.include_router(
            report_routes(self.database, pages, policies=policies, channels=channels, ring=self._ring)
        )
        site = inbox.InboxSite(
            self.database,
            pages,
            policies=policies,
            channels=channels,
            stores=self.stores,
            ring=self._ring,
            overdue=overdue,
        )
        app.include_router(inbox.routes(site))
        add_pages(app, pages)
        return app

    def _ring(self) -> None:
        self.rung += 1


class Agent:
    """A browser without a screen, signed in: fills in forms with the token and version of a page."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def sign_in(self, email: str) -> None:
        page = await self.get("/login")
        fields = {"csrf": found(_CSRF, page), "email": email, "password": PASSWORD}
        done = await self.client.post("/login", data=fields, headers=PAGE)
        assert done.status_code == 303, done.text

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(path, params=query or None, headers=PAGE)

    async def post(self, path: str, page: httpx.Response, **fields: Any) -> httpx.Response:
        """Send a form of a page that was shown."""
        return await self.client.post(path, data={"csrf": found(_CSRF, page), **fields}, headers=PAGE)

    async def act(self, case_id: str, action: str, **fields: Any) -> httpx.Response:
        """Open the case, and send one of its forms."""
        page = await self.get(f"/inbox/{case_id}")
        return await self.post(f"/inbox/{case_id}/{action}", page, version=found(_VERSION, page), **fields)


def found(pattern: re.Pattern[str], page: httpx.Response) -> str:
    match = pattern.search(page.text)
    assert match, page.text
    return match[1]


def version_of(page: httpx.Response) -> str:
    return found(_VERSION, page)
