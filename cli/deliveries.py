"""`closeloop deliveries`: hold all alerts back, see what waits, let them go."""

import json
from datetime import UTC, datetime
from typing import Any

import typer
from rich.table import Table

from cli import CommandError, product
from cli.printing import print_table
from services.notifier.deliveries import holds as holding
from services.notifier.deliveries.holds import Hold, Waiting, Why

app = typer.Typer(
    help="Hold all alerts back, as the notifier does by itself after a restore, and let them go.",
    no_args_is_help=True,
)

REASONS = {
    Why.RESTORED: "the database is older than what was sent from it (a restore)",
    Why.OPERATOR: "an operator holds them",
}

_json = typer.Option(False, "--json", help="For machines.")


@app.command()
def hold(as_json: bool = _json) -> None:
    """Send nothing from now on, on any channel of any store. Alerts are still made, and wait."""
    product.run(_hold())
    typer.echo(json.dumps({"held": [Why.OPERATOR]}) if as_json else "Held: nothing is sent until `release`.")


@app.command()
def status(as_json: bool = _json) -> None:
    """Whether alerts are held, and what waits on each channel."""
    holds, waiting = product.run(_status())
    if as_json:
        held = {"held": [one.why for one in holds], "since": [one.since.isoformat() for one in holds]}
        typer.echo(json.dumps(held | {"waiting": [_as_json(one) for one in waiting]}, indent=2))
        return
    told = [f"Held since {one.since:%F %T %Z}: {REASONS[one.why]}" for one in holds]
    typer.echo("; ".join(told) or "Not held.")
    table = Table("store", "channel", "waiting", "of answers from", "to", box=None)
    for one in waiting:
        table.add_row(
            one.store, one.channel, str(one.deliveries), f"{one.oldest:%F %T %Z}", f"{one.newest:%F %T %Z}"
        )
    print_table(table)


@app.command()
def release(
    sent_before: str = typer.Option(
        "",
        "--sent-before",
        help="Call off alerts about answers that arrived before this moment (RFC 3339): they were sent.",
    ),
    as_json: bool = _json,
) -> None:
    """Send again. After a restore give the moment of the crash: what was sent before would come twice."""
    called_off, left = product.run(_release(_moment(sent_before)))
    if as_json:
        typer.echo(json.dumps({"called_off": called_off, "waiting": left}))
    else:
        typer.echo(f"Released: {called_off} called off, {left} are sent now or when they are due.")


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    remedy = "Write it with its offset, such as 2026-11-22T03:00:00Z."
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is no moment", remedy=remedy) from None
    if moment.tzinfo is None:
        raise CommandError(f"{text!r} does not say in which time zone", remedy=remedy)
    if moment > datetime.now(UTC):
        raise CommandError(f"{text} is still to come", remedy="Give the moment of the crash.")
    return moment


async def _hold() -> None:
    async with product.database() as database, database.transaction() as session:
        await holding.hold(session, Why.OPERATOR)


async def _status() -> tuple[list[Hold], list[Waiting]]:
    async with product.database() as database, database.transaction() as session:
        return await holding.holds(session), await holding.waiting(session)


async def _release(sent_before: datetime | None) -> tuple[int, int]:
    async with product.database() as database, database.transaction() as session:
        called_off = await holding.call_off(session, sent_before) if sent_before else 0
        await holding.release(session)
        return called_off, sum(one.deliveries for one in await holding.waiting(session))


def _as_json(one: Waiting) -> dict[str, Any]:
    return {
        "store": one.store,
        "channel": one.channel,
        "deliveries": one.deliveries,
        "oldest": one.oldest.isoformat(),
        "newest": one.newest.isoformat(),
    }
