"""`closeloop dead`: look at the records that a service could not apply, and settle them."""

import json
from enum import StrEnum
from typing import Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cli import CommandError, product
from cli.printing import print_table
from cli.replaying import Failure, Replayer
from shared.db import Session
from shared.db.dead_letters import DeadLetters, StoredLetter

app = typer.Typer(help="Records that a service could not apply.", no_args_is_help=True)


class Service(StrEnum):
    """The services that consume."""

    SCORER = "scorer"
    SEGMENTER = "segmenter"
    NOTIFIER = "notifier"


class State(StrEnum):
    DEAD = "dead"
    REPLAYED = "replayed"
    DISCARDED = "discarded"
    ANY = "any"


@app.command("list")
def list_letters(
    service: Service | None = typer.Option(None, help="Only of this service."),
    state: State = typer.Option(State.DEAD, help="Only in this state."),
    limit: int = typer.Option(100, min=1, help="At most so many of each service."),
    as_json: bool = typer.Option(False, "--json", help="The letters as JSON."),
) -> None:
    """List dead letters, the latest first: where, why and since when; never what they say."""
    letters = product.run(_newest([service] if service else list(Service), state, limit))
    if as_json:
        typer.echo(json.dumps([_shown(name, letter) for name, letter in letters], indent=2))
        return
    if not letters:
        typer.echo("No dead letters.")
        return
    table = Table("service", "id", "type", "place", "reason", "detail", "state", "since", box=None)
    for name, letter in letters:
        since = f"{letter.dead_at:%Y-%m-%d %H:%M:%S}"
        row = (name, str(letter.id), _type(letter), _place(letter), letter.reason, letter.detail)
        table.add_row(*(text.replace("[", "\\[") for text in row), letter.state, since)
    print_table(table)


@app.command()
def show(
    service: Service,
    letter_id: int = typer.Argument(metavar="ID"),
    value: bool = typer.Option(False, "--value", help="Also the record itself, which may be personal."),
    as_json: bool = typer.Option(False, "--json", help="The letter as JSON."),
) -> None:
    """Show one dead letter: its reason, its place and its headers."""
    letter = product.run(_find(service, letter_id))
    shown = _shown(service, letter)
    shown["headers"] = {name: content.decode(errors="replace") for name, content in letter.headers}
    if value:
        shown["key"] = _text(letter.key)
        shown["value"] = _text(letter.value)
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    console = Console(soft_wrap=True, highlight=False)
    for name, content in shown.items():
        console.print(f"{name:<15} {content if content is not None else '-'}", markup=False)
    if not value:
        console.print("The record itself may be personal; --value shows it.", style="dim")


@app.command()
def replay(
    service: Service,
    letter_id: int | None = typer.Argument(None, metavar="ID"),
    every: bool = typer.Option(False, "--all", help="Every dead letter of the service."),
    reason: str = typer.Option("", help="With --all: only those that died of this reason."),
    as_json: bool = typer.Option(False, "--json", help="What became of each letter, as JSON."),
) -> None:
    """Apply dead letters again, by the service's own handler, each in one transaction with its state.

    What was replayed before is left alone. Exit code 1 if one still cannot be applied.
    """
    if (letter_id is None) is not every:
        raise CommandError("Say which letter, or --all", remedy=f"`closeloop dead list --service {service}`.")
    results = product.run(_replay(service, letter_id, reason or None, quiet=as_json))
    failed = [result for result in results if result["outcome"] == "failed"]
    if as_json:
        typer.echo(json.dumps(results, indent=2))
    else:
        for result in results:
            typer.echo(f"{service} {result['id']}: {result['outcome']} {result['detail']}".rstrip())
        if not results:
            typer.echo("No dead letters to replay.")
    if failed:
        raise CommandError(
            f"{len(failed)} of {len(results)} still cannot be applied",
            remedy="They stay dead. Replay them with a release that can, or `closeloop dead discard` them.",
        )


@app.command()
def discard(service: Service, letter_id: int = typer.Argument(metavar="ID")) -> None:
    """Give a dead letter up: it stays in the table for the audit and is not replayed."""
    letter = product.run(_discard(service, letter_id))
    if letter.state != "dead":
        typer.echo(f"{service} {letter_id} was {letter.state} before; nothing to do.")
        return
    typer.echo(f"{service} {letter_id} is discarded.")


async def _newest(services: list[Service], state: State, limit: int) -> list[tuple[str, StoredLetter]]:
    newest: list[tuple[str, StoredLetter]] = []
    only_state: Any = None if state is State.ANY else state.value
    async with product.database() as database, database.snapshot() as session:
        for service in services:
            letters = await DeadLetters(service).newest(session, state=only_state, limit=limit)
            newest += [(service.value, letter) for letter in letters]
    return newest


async def _find(service: Service, letter_id: int) -> StoredLetter:
    async with product.database() as database, database.transaction() as session:
        return await _existing(session, service, letter_id)


async def _existing(session: Session, service: Service, letter_id: int) -> StoredLetter:
    """CommandError when the service has no such letter."""
    letter = await DeadLetters(service).find(session, letter_id)
    if letter is None:
        raise CommandError(
            f"The {service} has no dead letter {letter_id}", remedy="`closeloop dead list --state any`."
        )
    return letter


async def _discard(service: Service, letter_id: int) -> StoredLetter:
    """The letter as it was before."""
    async with product.database() as database, database.transaction() as session:
        letter = await _existing(session, service, letter_id)
        await DeadLetters(service).settle(session, letter_id, "discarded")
        return letter


async def _replay(
    service: Service, letter_id: int | None, reason: str | None, *, quiet: bool
) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    async with product.database() as database:
        replayer = Replayer(database, service, product.config(), product.secrets())
        if letter_id is None:
            async with database.transaction() as session:
                ids = await DeadLetters(service).ids_to_settle(session, reason=reason)
        else:
            async with database.transaction() as session:
                ids = [(await _existing(session, service, letter_id)).id]
        silent = quiet or len(ids) < 2
        for dead_id in track(ids, f"Replaying into the {service}", disable=silent, transient=True):
            try:
                outcome, detail = await replayer.replay(dead_id), ""
            except Failure as failure:
                outcome, detail = "failed", str(failure)
            results.append({"service": service.value, "id": dead_id, "outcome": outcome, "detail": detail})
    return results


def _shown(service: str, letter: StoredLetter) -> dict[str, Any]:
    return {
        "service": service,
        "id": letter.id,
        "state": letter.state,
        "type": _type(letter),
        "reason": letter.reason,
        "detail": letter.detail,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "topic_id": str(letter.topic_id) if letter.topic_id else None,
        "of_former_log": letter.of_former_log,
        "consumer": letter.consumer,
        "correlation_id": letter.correlation_id,
        "dead_at": letter.dead_at.isoformat(),
        "settled_at": letter.settled_at.isoformat() if letter.settled_at else None,
    }


def _type(letter: StoredLetter) -> str:
    return dict(letter.headers).get("ce_type", b"?").decode(errors="replace")


def _place(letter: StoredLetter) -> str:
    former = " of a former log" if letter.of_former_log else ""
    return f"{letter.topic}/{letter.partition}@{letter.offset}{former}"


def _text(content: bytes | None) -> str | None:
    return content.decode(errors="replace") if content is not None else None
