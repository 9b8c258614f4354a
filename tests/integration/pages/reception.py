"""An application with an area of its own behind the real sign-in, and people who come to it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx
from fastapi import Depends, FastAPI, Request, Response

from shared.access import Keyring, users
from shared.access.links import Links, Purpose
from shared.access.roster import Roster
from shared.config.secrets import Secrets
from shared.config.stores import Store
from shared.db import Database
from shared.http import standard_app
from shared.ops.health import Health
from shared.ops.settings import ListenSettings
from shared.pages.door import add_pages
from shared.pages.forms import Form, form_of
from shared.pages.notices import FlashMessage, UndoButton
from shared.pages.pages import Pages
from shared.pages.people import PersonAtStore, Visitors, member

SECRETS = Secrets("0123456789abcdef0123456789abcdef")
PASSWORD = "seven green boats"
TOY = Path(__file__).parent / "toy_area"

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Reception:
    """Two stores of its own, so that tests do not see each other's people."""

    database: Database
    here: str = field(default_factory=lambda: f"h{uuid4().hex[:10]}")
    there: str = field(default_factory=lambda: f"t{uuid4().hex[:10]}")

    @property
    def stores(self) -> dict[str, Store]:
        return {
            self.here: Store(name="Harbour Goods", timezone="Europe/Amsterdam"),
            self.there: Store(name="Harbour Outlet"),
        }

    def email(self, name: str = "ines") -> str:
        return f"{name}.{self.here}@shop.example"

    async def hire(self, name: str = "Ines Moreau", role: str = "agent", store: str = "") -> str:
        """Somebody with a password; their e-mail."""
        email = self.email(name.split(maxsplit=1)[0].lower())
        async with self.database.transaction() as session:
            await users.ensure(
                session, email=email, password=PASSWORD, store=store or self.here, role=role, name=name
            )
        return email

    async def account(self, email: str) -> users.Account:
        async with self.database.transaction() as session:
            account = await users.by_email(session, email)
        assert account is not None
        return account

    async def link(self, purpose: Purpose, email: str) -> str:
        return f"/{purpose}/{Links(SECRETS).token(purpose, await self.account(email))}"

    async def invite(self, name: str = "noor", role: str = "agent") -> str:
        """The path of an invitation."""
        async with self.database.transaction() as session:
            user = await users.add(session, email=self.email(name))
            await users.set_role(session, user, self.here, users.role_of(role))
        return await self.link("invite", self.email(name))

    def application(self) -> tuple[FastAPI, Roster]:
        roster = Roster(self.database)
        pages = Pages(
            TOY,
            visitors=Visitors(self.database, roster, SECRETS),
            stores=self.stores,
            current="inbox",
            overdue=lambda store: 2 if store == self.here else 0,
        )

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            yield

        app = standard_app("toy", "", lifespan=lifespan, listen=ListenSettings(), health=Health({}))
        app.state.keyring = Keyring(self.database, SECRETS.pepper)
        _toy_routes(app, pages)
        add_pages(app, pages)
        return app, roster


def _toy_routes(app: FastAPI, pages: Pages) -> None:
    comment = "<b>Two weeks</b> late"

    @app.get("/inbox", include_in_schema=False)
    async def inbox(request: Request, at: Annotated[PersonAtStore, Depends(member())]) -> Response:
        return pages.html(request, "toy.html", comment=comment, errors={})

    @app.get("/inbox/secret", include_in_schema=False)
    async def secret(request: Request, at: Annotated[PersonAtStore, Depends(member("manager"))]) -> Response:
        return pages.html(request, "toy.html", comment=comment, errors={})

    @app.get("/inbox/broken", include_in_schema=False)
    async def broken(at: Annotated[PersonAtStore, Depends(member())]) -> Response:
        raise RuntimeError("a bug")

    @app.post("/inbox/save", include_in_schema=False)
    async def save(
        request: Request,
        at: Annotated[PersonAtStore, Depends(member())],
        form: Annotated[Form, Depends(form_of)],
    ) -> Response:
        note = form.text("note", longest=20)
        if form.errors:
            return pages.html(request, "toy.html", 422, comment=note, errors=form.errors)
        undo = UndoButton("/inbox/save", {"note": "undone", "case": form.all("case")})
        return pages.go(request, "/inbox", FlashMessage("ok", f"Saved for {at.store}.", undo=undo))


class Visitor:
    """A browser without a screen: keeps cookies, follows nothing, fills in forms with their token."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def open(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers={"Accept": "text/html", **headers})

    async def send(self, path: str, shown_at: str, headers: Any = None, **fields: Any) -> httpx.Response:
        """Post a form with the token of the page that shows it."""
        page = await self.open(shown_at)
        return await self.post(path, headers, csrf=token(page), **fields)

    async def post(self, path: str, headers: Any = None, **fields: Any) -> httpx.Response:
        return await self.client.post(path, data=fields, headers={"Accept": "text/html"} | (headers or {}))

    async def sign_in(self, email: str, password: str = PASSWORD, **fields: Any) -> httpx.Response:
        return await self.send("/login", "/login", email=email, password=password, **fields)


def token(page: httpx.Response) -> str:
    found = _CSRF.search(page.text)
    assert found, page.text
    return found[1]
