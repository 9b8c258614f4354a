"""`closeloop keys`: make, list and revoke the keys of programs."""

import json
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import typer
from rich.table import Table

from cli import CommandError, product
from cli.printing import print_table
from shared.access import Scope, keys
from shared.access.keys import StoredKey
from shared.feedback.moments import InvalidMoment, parse_moment

app = typer.Typer(help="The keys with which programs use the API.", no_args_is_help=True)

_DAYS = re.compile(r"(\d{1,4})d")


class Kind(StrEnum):
    """`public` is for browsers and may only submit answers."""

    SECRET = "secret"  # noqa: S105 - a kind, not a password
    PUBLIC = "public"


@app.command()
def create(
    *,
    store: str = typer.Option(..., help="The store that the key belongs to."),
    kind: Kind = typer.Option(Kind.SECRET, help="secret: for servers; public: for browsers, only submits."),
    scope: list[Scope] = typer.Option([], help="What a secret key may do; repeat for several."),
    name: str = typer.Option("", help="What it is for, shown in the list."),
    expires: str = typer.Option("", help="A date (2027-01-31) or a number of days (90d); never if left out."),
    as_json: bool = typer.Option(False, "--json", help="The key as JSON."),
) -> None:
    """Make a key and print it. Nothing can show it again; every service knows it within seconds."""
    product.require_store(store)
    if kind is Kind.SECRET and not scope:
        raise CommandError(
            "A secret key without a scope can do nothing",
            remedy=f"Give --scope once or more: {', '.join(Scope)}.",
        )
    if kind is Kind.PUBLIC and scope:
        raise CommandError(
            "A public key has no scopes: it may only submit answers", remedy="Leave --scope out."
        )
    expires_at = expiry(expires, datetime.now(UTC))
    token = product.run(_create(store, kind, scope, name, expires_at))
    if as_json:
        typer.echo(json.dumps({"key": token, "key_id": token.split("_")[1], "store": store, "kind": kind}))
        return
    typer.echo(token)
    typer.echo("Keep it now: only its hash is stored.", err=True)


@app.command("list")
def list_keys(
    store: str = typer.Option("", help="Only of this store."),
    as_json: bool = typer.Option(False, "--json", help="The keys as JSON."),
) -> None:
    """List the keys with their state and last use, never their secret."""
    stored = product.run(_all(store or None))
    now = datetime.now(UTC)
    if as_json:
        typer.echo(json.dumps([_shown(key, now) for key in stored], indent=2))
        return
    table = Table("key id", "store", "kind", "name", "scopes", "state", "last used", box=None)
    for key in stored:
        shown = _shown(key, now)
        last = key.last_used_at.strftime("%Y-%m-%d %H:%M UTC") if key.last_used_at else "never"
        scopes = ", ".join(shown["scopes"])
        table.add_row(key.key_id, key.store, key.kind, key.name, scopes, shown["state"], last)
    print_table(table)


@app.command()
def revoke(key_id: str = typer.Argument(..., help="As `closeloop keys list` shows it.")) -> None:
    """Stop a key for good; every service refuses it within 5 s."""
    if parsed := keys.parse(key_id):
        key_id = parsed[1]  # the whole key was pasted
    if not product.run(_revoke(key_id)):
        raise CommandError(
            f"There is no key {key_id} that still works", remedy="`closeloop keys list` shows them all."
        )
    typer.echo(f"Key {key_id} is revoked; every service refuses it within 5 s.")


def expiry(text: str, now: datetime) -> datetime | None:
    """The moment that `2027-01-31` (its end, UTC) or `90d` names; None for no text."""
    if not text:
        return None
    if match := _DAYS.fullmatch(text):
        return now + timedelta(days=int(match[1]))
    try:
        day = parse_moment(f"{text}T00:00:00Z")
    except InvalidMoment:
        raise CommandError(
            f"--expires {text!r} is no date", remedy="Write a date (2027-01-31) or a number of days (90d)."
        ) from None
    end = day + timedelta(days=1)
    if end <= now:
        raise CommandError(f"--expires {text} has passed", remedy="Write a date to come.")
    return end


def state_of(key: StoredKey, now: datetime) -> str:
    """active, expired or revoked."""
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= now else "active"


def _shown(key: StoredKey, now: datetime) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "store": key.store,
        "kind": key.kind,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "state": state_of(key, now),
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "last_used_at": _time(key.last_used_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None


async def _create(store: str, kind: Kind, scopes: list[Scope], name: str, expires_at: datetime | None) -> str:
    async with product.database() as database, database.transaction() as session:
        return await keys.create(
            session,
            store=store,
            kind="public" if kind is Kind.PUBLIC else "secret",
            scopes=scopes,
            name=name,
            pepper=product.secrets().pepper,
            expires_at=expires_at,
        )


async def _all(store: str | None) -> list[StoredKey]:
    async with product.database() as database, database.transaction() as session:
        return await keys.all_keys(session, store)


async def _revoke(key_id: str) -> bool:
    async with product.database() as database, database.transaction() as session:
        return await keys.revoke(session, key_id)
