"""What people change about themselves."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from shared.access import Person, passwords, sessions, users
from shared.access.users import Account
from shared.pages.account import refuse_unfit
from shared.pages.forms import Form, form_of
from shared.pages.notices import Notice
from shared.pages.pages import Pages
from shared.pages.people import SignedIn
from shared.pages.sign_in import SignIn

FormOf = Annotated[Form, Depends(form_of)]


def account_routes(pages: Pages, sign_in: SignIn) -> APIRouter:
    """`/account`: name, shortcuts, password, and signing out everywhere."""
    router = APIRouter(include_in_schema=False)
    people = pages.people

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
        async with people.database.transaction() as session:
            await users.set_name(session, person.user_id, name)
            await users.set_shortcuts(session, person.user_id, form.ticked("shortcuts"))
        await people.roster.refresh()
        return pages.go(request, "/account", Notice("ok", "Saved."))

    @router.post("/account/password")
    async def change(request: Request, person: SignedIn, form: FormOf) -> Response:
        password = form.raw("password")
        refuse_unfit(form, password, person.email)
        found = await sign_in.account(request, person.email, form.raw("current"))
        if isinstance(found, timedelta):
            form.refuse("current", "Too many wrong tries. Wait for 15 minutes.")
        elif found is None:
            form.refuse("current", "This is not your current password.")
        if form.errors or not isinstance(found, Account):
            return page(request, person, form)
        made = await sign_in.hash(password)
        async with people.database.transaction() as session:
            done = await users.set_password(
                session, found.user_id, version=found.password_version, password_hash=made
            )
        if not done:
            form.refuse("password", "Somebody changed it at the same moment. Sign in with that one.")
            return page(request, person, form)
        response = await sign_in.begin(request, found.user_id, "/account")
        notice = Notice("ok", "The password is changed. You are signed out everywhere else.")
        people.cookies.set_flash(request, response, notice.packed())
        return response

    @router.post("/account/sign-out")
    async def sign_out(request: Request, person: SignedIn, form: FormOf) -> Response:
        async with people.database.transaction() as session:
            await sessions.end_all(session, person.user_id)
        await people.roster.refresh()
        response = RedirectResponse("/login", 303)
        people.cookies.end_session(request, response)
        return response

    return router
