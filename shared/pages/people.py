"""Who opens a page, and for which store."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request

from shared.access import AccessUnavailable, Person, Role
from shared.access.roles import reaches
from shared.access.roster import Roster
from shared.config.secrets import Secrets
from shared.db import Database
from shared.http.problems import Problem, unavailable
from shared.ops.addresses import one_client
from shared.pages.cookies import STORE, Cookies, PageSettings
from shared.pages.forms import token_for


class Visitors:
    """Knows who sends a request: the person, the CSRF token of their session, their network address.

    There is one object for each application, at `app.state.visitors`.
    """

    def __init__(
        self, database: Database, roster: Roster, secrets: Secrets, settings: PageSettings | None = None
    ) -> None:
        settings = settings or PageSettings()
        self.database = database
        self.roster = roster
        self.secrets = secrets
        self.cookies = Cookies(secrets.derive("cookies"), always_secure=settings.closeloop_secure_cookies)
        self._csrf_key = secrets.derive("csrf")

    def known(self, request: Request) -> Person | None:
        """The person who is signed in, from memory alone, or None."""
        token = self.cookies.session(request)
        return self.roster.known(token) if token else None

    async def find(self, request: Request) -> Person | None:
        """As `known`, but asks PostgreSQL for a session that began seconds ago. Raises Problem 503."""
        token = self.cookies.session(request)
        if not token:
            return None
        try:
            return await self.roster.find(token)
        except AccessUnavailable:
            raise unavailable("It cannot be checked right now who you are. Try again.") from None

    def csrf(self, request: Request) -> str:
        """The CSRF token of the request's session, or of the visit before sign-in; empty without either."""
        person = self.known(request)
        session = person.session_id if person else self.cookies.visit(request)
        return token_for(self._csrf_key, session) if session else ""

    def address(self, request: Request) -> str:
        """What stands for whoever may be the same client as this browser: an IPv4 address, a /64 of IPv6."""
        return one_client(request.client.host) if request.client else ""


@dataclass(frozen=True, slots=True)
class PersonAtStore:
    """A signed-in person in one of their stores, with their role there."""

    person: Person
    store: str
    role: Role


async def signed_in(request: Request) -> Person:
    """A dependency of FastAPI: the person who is signed in.

    Raises Problem 401 `signed-out`. A browser that opens a page gets a 303 to `/login?next=…` for it; event
    streams, scripts and programs get the problem.
    """
    visitors: Visitors = request.app.state.visitors
    person = await visitors.find(request)
    if person is None:
        raise Problem(401, "signed-out", "You are signed out. Sign in, then open the page again.")
    request.state.person = person
    return person


SignedIn = Annotated[Person, Depends(signed_in)]


def member(least: Role = "agent") -> Callable[[Request], Awaitable[PersonAtStore]]:
    """A dependency of FastAPI: the person at one of their stores, with at least this role there.

    The store is that of `?store=`, else of the store switcher's cookie, else their first. Raises Problem:
    401 as `signed_in`; 404 for a store that is not theirs, as if it did not exist; 403 `role` when their role
    there is too low; 403 `no-store` when they belong to no store.
    """

    async def checked(request: Request) -> PersonAtStore:
        person = await signed_in(request)
        at = store_of(request, person)
        if not reaches(at.role, least):
            raise _role_too_low(request, at, least)
        request.state.at = at
        return at

    return checked


def store_of(request: Request, person: Person) -> PersonAtStore:
    """The person at the store that a request is about. Raises Problem as `member` does."""
    known = request.app.state.pages.store_names
    theirs = [store for store in person.stores if store in known]
    if not theirs:
        raise Problem(
            403, "no-store", f"You are signed in as {person.name}, and you do not work for a store yet."
        )
    named = request.query_params.get("store")
    if named is not None and named not in theirs:
        raise Problem(404, "not-found", "There is no such store among yours.")
    store = named or request.cookies.get(STORE, "")
    if store not in theirs:
        store = theirs[0]
    return PersonAtStore(person, store, person.stores[store])


def _role_too_low(request: Request, at: PersonAtStore, least: Role) -> Problem:
    admins = [m.name for m in request.app.state.visitors.roster.members(at.store) if m.role == "admin"]
    helpers = " or ".join(admins[:2]) or "The one who runs this installation"
    store = request.app.state.pages.store_names[at.store]
    readers = {"agent": "agents", "manager": "managers", "admin": "administrators"}[least]
    return Problem(
        403,
        "role",
        f"You are signed in as {at.person.name}, {at.role} of {store}. This page is for {readers}. "
        f"{helpers} can give you that role.",
    )


def login_address(request: Request) -> str:
    """`/login` with the address of the page to go on to; without it for a form that was posted."""
    if request.method not in ("GET", "HEAD"):
        return "/login"
    query = f"?{request.url.query}" if request.url.query else ""
    return f"/login?next={quote(request.url.path + query, safe='/')}"
