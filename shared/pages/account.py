"""The links of invitations and resets, with which somebody sets a password, and the page of an account."""

import math
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from shared.access import Person, passwords, sessions, users
from shared.access.links import Links, Purpose
from shared.access.passwords import PasswordUnfit
from shared.access.users import Account
from shared.http.rates import Buckets, TokenBucket
from shared.pages.forms import Form, form_of
from shared.pages.notices import FlashMessage
from shared.pages.pages import Pages
from shared.pages.people import SignedIn
from shared.pages.sign_in import SignIn

_LINKS_PER_SECOND, _LINKS_AT_ONCE = 0.2, 30
"""Of one client. Links cannot be guessed; but each costs a look into the database."""
_TOO_OFTEN = "Too many links were followed from your network address. Wait for a moment."

FormOf = Annotated[Form, Depends(form_of)]


def link_routes(pages: Pages, sign_in: SignIn) -> APIRouter:
    """The routes `/invite/…` and `/reset/…`. A GET changes nothing, because mail scanners follow links."""
    router = APIRouter(include_in_schema=False)
    follower = _Follower(pages, sign_in)

    @router.get("/invite/{token}")
    async def invited(request: Request, token: str) -> Response:
        return await follower.show(request, "invite", token)

    @router.post("/invite/{token}")
    async def accept(request: Request, token: str, form: FormOf) -> Response:
        return await follower.use(request, "invite", token, form)

    @router.get("/reset/{token}")
    async def forgotten(request: Request, token: str) -> Response:
        return await follower.show(request, "reset", token)

    @router.post("/reset/{token}")
    async def reset(request: Request, token: str, form: FormOf) -> Response:
        return await follower.use(request, "reset", token, form)

    return router


def refuse_unfit(form: Form, password: str, email: str, names: Iterable[str]) -> None:
    """Note in the form what is wrong with a password that somebody chose, if anything."""
    try:
        passwords.check_fit(password, email=email, names=names)
    except PasswordUnfit as unfit:
        form.refuse("password", str(unfit))


class _Follower:
    """Shows the form of a link, and sets the password that it is sent back with."""

    def __init__(self, pages: Pages, sign_in: SignIn) -> None:
        self._pages = pages
        self._visitors = pages.visitors
        self._sign_in = sign_in
        self._links = Links(pages.visitors.secrets)
        self._rates = Buckets(lambda: TokenBucket(_LINKS_PER_SECOND, _TOO_OFTEN, burst=_LINKS_AT_ONCE))

    async def show(self, request: Request, purpose: Purpose, token: str) -> Response:
        account = await self._account(request, purpose, token)
        if account is None:
            return self._expired(request, purpose)
        return self._ask(request, purpose, account, Form({"name": [account.name]}))

    async def use(self, request: Request, purpose: Purpose, token: str, form: Form) -> Response:
        account = await self._account(request, purpose, token)
        if account is None:
            return self._expired(request, purpose)
        invited = purpose == "invite"
        name = form.text("name", longest=users.LONGEST_NAME, needed="Enter your name." if invited else "")
        password = form.raw("password")
        stores = [self._pages.store_names.get(store, "") for store in account.stores]
        refuse_unfit(form, password, account.email, [name, account.name, *stores])
        if form.errors:
            return self._ask(request, purpose, account, form)
        password_hash = await self._sign_in.hash(request, password)
        async with self._visitors.database.transaction() as session:
            replaced = await users.set_password(
                session, account.user_id, version=account.password_version, password_hash=password_hash
            )
            if replaced and invited:
                await users.set_name(session, account.user_id, name)
        if not replaced:  # the same link was used twice at the same moment
            return self._expired(request, purpose)
        return await self._sign_in.begin(request, account.user_id, self._pages.urls.first)

    async def _account(self, request: Request, purpose: Purpose, token: str) -> Account | None:
        """Raises Problem 429 for a client that follows too many links."""
        now = time.monotonic()
        self._rates.of(self._visitors.address(request), now).take(now)
        claim = self._links.claim(purpose, token)
        if claim is None:
            return None
        async with self._visitors.database.transaction() as session:
            account = await users.by_id(session, claim.user_id)
        return account if account and claim.opens(account) else None

    def _ask(self, request: Request, purpose: Purpose, account: Account, form: Form) -> Response:
        names = self._pages.store_names
        places = [f"{role} of {names[store]}" for store, role in account.stores.items() if store in names]
        return self._pages.html(
            request,
            "set_password.html",
            422 if form.errors else 200,
            purpose=purpose,
            email=account.email,
            places=", ".join(places),
            name=form.text("name"),
            errors=form.errors,
            shortest=passwords.SHORTEST,
        )

    def _expired(self, request: Request, purpose: Purpose) -> Response:
        return self._pages.html(request, "link_over.html", 410, purpose=purpose)


def account_routes(pages: Pages, sign_in: SignIn) -> APIRouter:
    """The routes `/account…`: name, shortcuts, password, and signing out everywhere."""
    router = APIRouter(include_in_schema=False)
    visitors = pages.visitors

    def page(request: Request, person: Person, form: Form | None = None, name: str | None = None) -> Response:
        return pages.html(
            request,
            "account.html",
            422 if form else 200,
            name=person.name if name is None else name,
            shortcuts=person.shortcuts,
            errors=form.errors if form else {},
            shortest=passwords.SHORTEST,
        )

    @router.get("/account")
    async def show(request: Request, person: SignedIn) -> Response:
        return page(request, person)

    @router.post("/account")
    async def save(request: Request, person: SignedIn, form: FormOf) -> Response:
        name = form.text("name", longest=users.LONGEST_NAME, needed="Enter your name.")
        if form.errors:
            return page(request, person, form, name)
        async with visitors.database.transaction() as session:
            await users.set_name(session, person.user_id, name)
            await users.set_shortcuts(session, person.user_id, form.ticked("shortcuts"))
        await visitors.roster.refresh()
        return pages.go(request, "/account", FlashMessage("ok", "Saved."))

    @router.post("/account/password")
    async def change(request: Request, person: SignedIn, form: FormOf) -> Response:
        password = form.raw("password")
        stores = [pages.store_names.get(store, "") for store in person.stores]
        refuse_unfit(form, password, person.email, [person.name, *stores])
        account = await sign_in.account(request, person.email, form.raw("current"))
        if isinstance(account, timedelta):
            form.refuse("current", "Too many wrong tries. Wait for 15 minutes.")
            response = page(request, person, form)
            response.status_code = 429
            response.headers["Retry-After"] = str(math.ceil(account.total_seconds()))
            return response
        if account is None:
            form.refuse("current", "This is not your current password.")
        if form.errors or not isinstance(account, Account):
            return page(request, person, form)
        password_hash = await sign_in.hash(request, password)
        async with visitors.database.transaction() as session:
            replaced = await users.set_password(
                session, account.user_id, version=account.password_version, password_hash=password_hash
            )
        if not replaced:
            form.refuse("password", "Somebody changed it at the same moment. Sign in with that one.")
            return page(request, person, form)
        response = await sign_in.begin(request, account.user_id, "/account")
        notice = FlashMessage("ok", "The password is changed. You are signed out everywhere else.")
        visitors.cookies.set_flash(request, response, notice.packed())
        return response

    @router.post("/account/sign-out")
    async def sign_out(request: Request, person: SignedIn, form: FormOf) -> Response:
        async with visitors.database.transaction() as session:
            await sessions.end_all(session, person.user_id)
        await visitors.roster.refresh()
        response = RedirectResponse("/login", 303)
        visitors.cookies.end_session(request, response)
        return response

    return router
