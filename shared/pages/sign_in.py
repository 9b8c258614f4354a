"""Sign-in, sign-out, and the choice of a store."""

import math
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from shared.access import passwords, sessions, tries, users
from shared.access.passwords import Crowded, Passwords, TooManyAtOnce
from shared.access.users import Account
from shared.feedback.identity import normal_email
from shared.http.problems import Problem, unavailable
from shared.ops.logs import log
from shared.pages.forms import Form, check_csrf, form_of, read_form
from shared.pages.pages import Pages
from shared.pages.people import SignedIn, Visitors

_log = log("web")

_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,2000}")


def local_path(path: str, otherwise: str) -> str:
    """`path` if it is one of this host, else `otherwise`: no link may lead to another host after sign-in."""
    if not _LOCAL.fullmatch(path) or urlsplit(path).netloc or path.startswith(("/login", "/logout")):
        return otherwise
    return path


class SignIn:
    """Checks passwords and begins sessions."""

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors
        self._passwords = Passwords()
        self._key = visitors.secrets.derive("sign-in-tries")

    async def account(self, request: Request, email: str, password: str) -> "Account | timedelta | None":
        """The account of this e-mail and password, or None when they do not match.

        After too many wrong tries, of this e-mail from this address or of the address alone, the time to
        wait. Raises Problem 429 and 503.
        """
        address, now = self._visitors.address(request), datetime.now(UTC)
        of_address, pair = tries.of_address(self._key, address), tries.pair(self._key, email, address)
        async with self._visitors.database.transaction() as session:
            wait = await tries.enter_address(session, of_address, now)
            if not wait and (wait := await tries.enter(session, pair, now)):
                await tries.take_back_address(session, of_address)
            account = await users.by_email(session, email)
        if wait:
            return wait
        stored = account.password_hash if account and account.active else None
        try:
            right = await self._passwords.right(stored, password, client=address)
        except Crowded as crowded:
            async with self._visitors.database.transaction() as session:
                await tries.take_back_address(session, of_address)
                await tries.take_back(session, pair)
            raise _problem(crowded) from None
        if not right or account is None:
            return None
        renewed = await self._renewed(stored or "", password, client=address)
        async with self._visitors.database.transaction() as session:
            await tries.take_back_address(session, of_address)
            await tries.forget(session, pair)
            if renewed and stored:
                await users.renew_hash(session, account.user_id, before=stored, after=renewed)
        return account

    async def hash(self, request: Request, password: str) -> str:
        """The hash of a password that came with a request. Raises Problem 429 and 503."""
        try:
            return await self._passwords.hash(password, client=self._visitors.address(request))
        except Crowded as crowded:
            raise _problem(crowded) from None

    async def _renewed(self, stored: str, password: str, *, client: str) -> str | None:
        """A new hash in place of one that is dated; None for one that is not, and in a crowd: next time."""
        if passwords.is_dated(stored):
            with suppress(Crowded):
                return await self._passwords.hash(password, client=client)
        return None

    async def begin(self, request: Request, user_id: int, address: str) -> Response:
        """Begin a session, end the one that the browser had before, and answer 303 to the address."""
        former = self._visitors.known(request)
        async with self._visitors.database.transaction() as session:
            if former:
                await sessions.end(session, bytes.fromhex(former.session_id))
            secret = await sessions.begin(session, user_id)
        await self._visitors.roster.refresh()
        response = RedirectResponse(address, 303)
        self._visitors.cookies.set_session(request, response, secret)
        _log.info("person.signed_in", user_id=user_id)
        return response


def _problem(crowded: Crowded) -> Problem:
    if isinstance(crowded, TooManyAtOnce):
        detail = "Too many people sign in from your network address at this moment. Try again."
        return Problem(429, "too-many-at-once", detail, headers={"Retry-After": "2"})
    return unavailable("Too many people sign in at this moment. Try again.")


def sign_in_routes(pages: Pages, sign_in: SignIn) -> APIRouter:
    """The routes `/login`, `/logout` and `/store`."""
    router = APIRouter(include_in_schema=False)
    visitors = pages.visitors

    @router.get("/login")
    async def login(request: Request, next: str = "") -> Response:  # noqa: A002 - the field's name
        if await visitors.find(request):
            return RedirectResponse(local_path(next, pages.urls.first), 303)
        return _login_page(pages, request, next=local_path(next, ""))

    @router.post("/login")
    async def enter(request: Request) -> Response:
        form = await read_form(request)
        next_page = local_path(form.raw("next"), "")
        if await visitors.find(request):  # signed in already, in another tab
            return RedirectResponse(next_page or pages.urls.first, 303)
        check_csrf(request, form.raw("csrf"))
        email = normal_email(form.text("email", longest=users.LONGEST_EMAIL))
        account = None
        if not form.errors:
            account = await sign_in.account(request, email, form.raw("password")[: passwords.LONGEST + 1])
        if isinstance(account, Account):
            return await sign_in.begin(request, account.user_id, next_page or pages.urls.first)
        _log.info("person.not_signed_in", reason="waits" if account else "wrong")
        return _login_page(pages, request, next=next_page, email=email, wait=account, wrong=account is None)

    @router.post("/logout")
    async def leave(request: Request, form: Annotated[Form, Depends(form_of)]) -> Response:
        if person := visitors.known(request):
            async with visitors.database.transaction() as session:
                await sessions.end(session, bytes.fromhex(person.session_id))
            await visitors.roster.refresh()
        response = RedirectResponse("/login", 303)
        visitors.cookies.end_session(request, response)
        return response

    @router.post("/store")
    async def choose(request: Request, person: SignedIn, form: Annotated[Form, Depends(form_of)]) -> Response:
        store = form.text("store")
        if store not in person.stores or store not in pages.stores:
            raise Problem(404, "not-found", "There is no such store among yours.")
        response = RedirectResponse(pages.home, 303)
        visitors.cookies.set_store(request, response, store)
        return response

    return router


def _login_page(
    pages: Pages,
    request: Request,
    *,
    next: str,  # noqa: A002 - the field's name
    email: str = "",
    wait: timedelta | None = None,
    wrong: bool = False,
) -> Response:
    """The sign-in page. It does not say whether the e-mail or the password was wrong."""
    problem = advice = ""
    if wait:
        minutes = math.ceil(wait / timedelta(minutes=1))
        problem = "Too many wrong tries."
        advice = f"This address has to wait for {minutes} {'minute' if minutes == 1 else 'minutes'}. "
        advice += "An administrator of your store can also send you a link for a new password."
    elif wrong:
        problem = "E-mail or password is not right."
        advice = "After five wrong tries this address has to wait for 15 minutes."
    status = 429 if wait else 401 if wrong else 200
    response = pages.html(
        request, "login.html", status, next=next, email=email, problem=problem, advice=advice
    )
    if wait:
        response.headers["Retry-After"] = str(math.ceil(wait.total_seconds()))
    elif wrong:
        response.headers["WWW-Authenticate"] = "Form"
    return response
