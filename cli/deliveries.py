"""`closeloop deliveries`: hold all alerts back, see what waits, let them go."""

import json
from datetime import UTC, datetime
from typing import Any

import typer
from rich.table import Table

from cli import CommandError, product
from cli.printing import print_table
from services.notifier import operations as notifier
from shared.feedback.moments import InvalidMoment, MissingOffset, parse_moment

app = typer.Typer(
    help="Hold all alerts back, as the notifier does by itself after a restore, and let them go.",
    no_args_is_help=True,
)

REASONS = {
    "restored": "the database is older than what was sent from it (a restore)",
    "operator": "an operator holds them",
}

_json = typer.Option(False, "--json", help="For machines.")


@app.command()
def hold(as_json: bool = _json) -> None:
    """Send nothing from now on, on any channel of any store. Alerts are still made, and wait."""
    reason = product.run(_hold())
    typer.echo(json.dumps({"held": [reason]}) if as_json else "Held: nothing is sent until `release`.")


@app.command()
def status(as_json: bool = _json) -> None:
    """Whether alerts are held, and what waits on each channel."""
    held_back = product.run(_status())
    if as_json:
        typer.echo(json.dumps(_as_json(held_back), indent=2))
        return
    reasons = [f"Held since {hold.since:%F %T %Z}: {REASONS[hold.why]}" for hold in held_back.holds]
    typer.echo("; ".join(reasons) or "Not held.")
    table = Table("store", "channel", "waiting", "of answers from", "to", box=None)
    for queue in held_back.waiting:
        oldest, newest = f"{queue.oldest:%F %T %Z}", f"{queue.newest:%F %T %Z}"
        table.add_row(queue.store, queue.channel, str(queue.deliveries), oldest, newest)
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
    called_off, left = product.run(_release(moment_of_crash(sent_before)))
    if as_json:
        typer.echo(json.dumps({"called_off": called_off, "waiting": left}))
    else:
        typer.echo(f"Released: {called_off} called off, {left} are sent now or when they are due.")


def moment_of_crash(text: str) -> datetime | None:
    """The moment that an operator wrote, in RFC 3339; None for no text. Raises CommandError."""
    if not text:
        return None
    remedy = "Write it with its offset, such as 2026-11-22T03:00:00Z."
    try:
        moment = parse_moment(text)
    except MissingOffset:
        raise CommandError(f"{text!r} does not say in which time zone", remedy=remedy) from None
    except InvalidMoment:
        raise CommandError(f"{text!r} is no moment", remedy=remedy) from None
    if moment > datetime.now(UTC):
        raise CommandError(f"{text} is still to come", remedy="Give the moment of the crash.")
    return moment


async def _hold() -> str:
    async with product.database() as database, database.transaction() as session:
        return await notifier.hold(session)


async def _status() -> notifier.HeldBack:
    async with product.database() as database, database.transaction() as session:
        return await notifier.held_back(session)


async def _release(sent_before: datetime | None) -> tuple[int, int]:
    async with product.database() as database, database.transaction() as session:
        return await notifier.release(session, sent_before)


def _as_json(held_back: notifier.HeldBack) -> dict[str, Any]:
    return {
        "held": [hold.why for hold in held_back.holds],
        "since": [hold.since.isoformat() for hold in held_back.holds],
        "waiting": [
            {
                "store": queue.store,
                "channel": queue.channel,
                "deliveries": queue.deliveries,
                "oldest": queue.oldest.isoformat(),
                "newest": queue.newest.isoformat(),
            }
            for queue in held_back.waiting
        ],
    }
