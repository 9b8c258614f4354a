"""`closeloop users`: who may sign in to the pages, for which stores, and as what."""

import json
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import typer
from rich.table import Table

from cli import CommandError, product
from cli.printing import print_table
from shared.access import passwords, users
from shared.access.links import LIFE, Links, Purpose
from shared.access.passwords import PasswordUnfit
from shared.access.users import Account
from shared.db import Session
from shared.feedback.identity import normal_email
from shared.ops.settings import checked_address

app = typer.Typer(help="The people who use the pages.", no_args_is_help=True)


class RoleName(StrEnum):
    """An agent works cases; a manager also sees reports of all and acts on many; an admin manages people."""

    AGENT = "agent"
    MANAGER = "manager"
    ADMIN = "admin"


EMAIL = typer.Argument(..., help="Their e-mail address.")
STORE = typer.Option(..., "--store", help="The store that they work for.")
ROLE = typer.Option(RoleName.AGENT, "--role", help="What they may do there.")
NAME = typer.Option("", "--name", help="As their colleagues see it.")
URL = typer.Option("", "--url", help="Where people open the pages, such as https://support.shop.example")
AS_JSON = typer.Option(False, "--json", help="The result as JSON.")


@app.command()
def invite(
    email: str = EMAIL,
    *,
    store: str = STORE,
    role: RoleName = ROLE,
    name: str = NAME,
    url: str = URL,
    as_json: bool = AS_JSON,
) -> None:
    """Make an account and print the link with which its owner sets a password, within seven days."""
    base = _base(url)
    product.require_store(store)
    account = product.run(_added(email, store, role, name))
    if account.password_hash:
        raise CommandError(
            f"{account.email} has a password already; they are {role} of {store} now",
            remedy="They sign in as before. `closeloop users reset` makes a link for a new password.",
        )
    _print_link("invite", account, base, as_json)


@app.command()
def add(
    email: str = EMAIL, store: str = STORE, role: RoleName = ROLE, name: str = NAME, as_json: bool = AS_JSON
) -> None:
    """Make an account with a password that is typed, or read from a pipe. `invite` needs none."""
    product.require_store(store)
    password = _asked_password(email, name, store)
    account = product.run(_added(email, store, role, name, password))
    _print_account(account, f"{account.email} can sign in as {role} of {store}.", as_json)


@app.command()
def reset(email: str = EMAIL, url: str = URL, as_json: bool = AS_JSON) -> None:
    """Print a link with which somebody sets a new password, within one day."""
    base = _base(url)
    _print_link("reset", product.run(_open_account(email)), base, as_json)


@app.command()
def role(
    email: str = EMAIL,
    store: str = STORE,
    new_role: RoleName = typer.Argument(..., metavar="ROLE", help="agent, manager or admin."),
    as_json: bool = AS_JSON,
) -> None:
    """Give somebody another role in a store, or a first one in one more store."""
    product.require_store(store)
    account = product.run(_given_role(email, store, new_role))
    _print_account(account, f"{account.email} is {new_role} of {store}, within 5 s.", as_json)


@app.command()
def remove(
    email: str = EMAIL,
    store: str = typer.Option("", "--store", help="Only from this store; from all if left out."),
    as_json: bool = AS_JSON,
) -> None:
    """Take somebody out of a store, or out of all. Who is left without one is signed out within 5 s."""
    account = product.run(_removed(email, store))
    left = f"They still work for {', '.join(account.stores)}." if account.stores else "The account is closed."
    where = store or "all stores"
    _print_account(account, f"{account.email} is out of {where}, within 5 s. {left}", as_json)


@app.command("list")
def list_users(
    store: str = typer.Option("", "--store", help="Only of this store."), as_json: bool = AS_JSON
) -> None:
    """List people with their roles and when they were last seen."""
    accounts = product.run(_all(store or None))
    if as_json:
        typer.echo(json.dumps([_shown(account) for account in accounts], indent=2))
        return
    table = Table("e-mail", "name", "stores", "state", "last seen", box=None)
    for account in accounts:
        roles = ", ".join(f"{store} ({role})" for store, role in sorted(account.stores.items()))
        seen = account.last_seen_at.strftime("%Y-%m-%d %H:%M UTC") if account.last_seen_at else "–"
        table.add_row(account.email, account.shown_name, roles, _state(account), seen)
    print_table(table)


def _base(url: str) -> str:
    """Where the links lead: the option --url, else NOTIFIER_PUBLIC_URL, else the copy that runs here."""
    base = url or os.environ.get("NOTIFIER_PUBLIC_URL", "")
    if not base:
        try:
            base = str(product.demo()["urls"]["notifier"])
        except CommandError:
            raise CommandError(
                "It is not known where people open the pages",
                remedy="Give --url, or set NOTIFIER_PUBLIC_URL.",
            ) from None
    try:
        return checked_address(base)
    except ValueError:
        raise CommandError(
            f"{base} is no address",
            remedy="Write it as https://support.shop.example, without a path, as the pages live at the root.",
        ) from None


def _asked_password(email: str, *names: str) -> str:
    piped = not sys.stdin.isatty()
    password: str = (
        sys.stdin.readline().rstrip("\r\n")
        if piped
        else typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    )
    try:
        passwords.check_fit(password, email=email, names=names)
    except PasswordUnfit as unfit:
        raise CommandError("This password cannot be taken", remedy=str(unfit)) from None
    return password


def _print_link(purpose: Purpose, account: Account, base: str, as_json: bool) -> None:
    link = f"{base}/{purpose}/{Links(product.secrets()).token(purpose, account)}"
    ends = datetime.now(UTC) + LIFE[purpose]
    if as_json:
        until = ends.isoformat(timespec="seconds").replace("+00:00", "Z")
        typer.echo(json.dumps({**_shown(account), "link": link, "link_ends_at": until}))
        return
    typer.echo(link)
    typer.echo(
        f"Send it to {account.email}. It works once, until {ends:%Y-%m-%d %H:%M} UTC; "
        "whoever has it sets the password.",
        err=True,
    )


def _print_account(account: Account, sentence: str, as_json: bool) -> None:
    typer.echo(json.dumps(_shown(account)) if as_json else sentence)


def _state(account: Account) -> str:
    if not account.active:
        return "closed"
    return "active" if account.password_hash else "invited"


def _shown(account: Account) -> dict[str, Any]:
    seen = account.last_seen_at
    return {
        "email": account.email,
        "name": account.shown_name,
        "stores": account.stores,
        "state": _state(account),
        "last_seen_at": seen.isoformat(timespec="seconds").replace("+00:00", "Z") if seen else None,
    }


async def _existing(session: Session, email: str) -> Account:
    account = await users.by_email(session, normal_email(email))
    if account is None:
        raise CommandError(f"There is nobody with {email}", remedy="`closeloop users list` shows everybody.")
    return account


async def _added(
    email: str, store: str, new_role: RoleName, name: str, password: str | None = None
) -> Account:
    async with product.database() as database, database.transaction() as session:
        try:
            user_id = await users.add(session, email=email, name=name.strip()[: users.LONGEST_NAME])
        except ValueError as error:
            raise CommandError(f"{email!r} {error}", remedy="Nothing was changed.") from None
        await users.set_role(session, user_id, store, users.role_of(new_role))
        if password:
            version = (await _existing(session, email)).password_version
            password_hash = passwords.hashed(password)
            await users.set_password(session, user_id, version=version, password_hash=password_hash)
        return await _existing(session, email)


async def _open_account(email: str) -> Account:
    async with product.database() as database, database.transaction() as session:
        account = await _existing(session, email)
    if not account.active:
        raise CommandError(
            f"The account of {account.email} is closed", remedy="`closeloop users invite` opens it again."
        )
    return account


async def _given_role(email: str, store: str, new_role: RoleName) -> Account:
    await _open_account(email)
    async with product.database() as database, database.transaction() as session:
        account = await _existing(session, email)
        await users.set_role(session, account.user_id, store, users.role_of(new_role))
        return await _existing(session, email)


async def _removed(email: str, store: str) -> Account:
    async with product.database() as database, database.transaction() as session:
        account = await _existing(session, email)
        if store and not await users.leave(session, account.user_id, store):
            raise CommandError(
                f"{account.email} does not work for {store}",
                remedy=f"They work for {', '.join(account.stores) or 'no store'}.",
            )
        if not store or set(account.stores) <= {store}:
            await users.deactivate(session, account.user_id)
        return await _existing(session, email)


async def _all(store: str | None) -> list[Account]:
    async with product.database() as database, database.transaction() as session:
        return await users.all_accounts(session, store)
