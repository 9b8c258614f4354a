"""`closeloop alerts test`: what the rules of a file would have done with the answers of the last days."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from cli import CommandError, product
from services.notifier import operations as notifier
from shared.config import Config, ConfigError, load

app = typer.Typer(help="Rules of alerts and cases.", no_args_is_help=True)

STATEMENT_TIMEOUT_SECONDS = 120


@app.callback()
def _root() -> None:
    # Without it Typer would drop the word `test`, as long as there is no second command.
    pass


@app.command()
def test(
    config: Path = typer.Option(None, "--config", help="The file; by default the one in use."),
    days: int = typer.Option(30, "--days", min=1, max=3660, help="Answers of so many days."),
    store: str = typer.Option("", "--store", help="By default the first store of the file."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """Try the rules of a file on the answers that are stored, and change nothing.

    Tiers, tags and risk are the customers' of today: those of then are not kept.
    """
    path = config or product.config_path()
    try:
        content = load(path)
        dry_runs = notifier.dry_runs(content)
    except ConfigError as error:
        raise CommandError(
            f"{path}, {error.mistakes[0]}", remedy="`closeloop config check FILE` prints every mistake."
        ) from None
    name = _store(content, path, store)
    dry_run = dry_runs[name]
    product.run(_try(dry_run, name, days))
    if as_json:
        typer.echo(json.dumps(_as_json(path, name, days, dry_run), indent=2))
    else:
        _print(path, name, days, dry_run)


def _store(config: Config, path: Path, name: str) -> str:
    """The store that was named, else the first of the file. CommandError for one that it lacks."""
    if name and name not in config.stores:
        raise CommandError(
            f"{path} has no store {name!r}", remedy=f"It has: {', '.join(sorted(config.stores))}."
        )
    return name or next(iter(config.stores))


async def _try(dry_run: notifier.DryRun, store: str, days: int) -> None:
    since = datetime.now(UTC) - timedelta(days=days)
    async with (
        product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database,
        database.snapshot() as session,
    ):
        await dry_run.run(session, store, since)


def _as_json(path: Path, store: str, days: int, dry_run: notifier.DryRun) -> dict[str, Any]:
    return {
        "path": str(path),
        "store": store,
        "days": days,
        "answers": dry_run.answers,
        "without_rule": dry_run.without_rule,
        "cases": dry_run.cases,
        "rules": [asdict(rule) for rule in dry_run.rules()],
    }


def _print(path: Path, store: str, days: int, dry_run: notifier.DryRun) -> None:
    console = Console(highlight=False)
    console.print(
        f"{path}, store {store}: {dry_run.answers} answers of the last {days} days would open "
        f"{dry_run.cases} cases; {dry_run.without_rule} answers match no rule. Nothing was changed.",
        markup=False,
    )
    table = Table("rule", box=None, pad_edge=False)
    for column in ("answers", "share", "cases"):
        table.add_column(column, justify="right")
    for column in ("priority", "first contact", "team", "channels"):
        table.add_column(column)
    for rule in dry_run.rules():
        table.add_row(
            rule.rule,
            str(rule.answers),
            f"{rule.share:.1%}",
            str(rule.cases),
            rule.priority,
            f"{rule.first_contact_hours:g} h{' of business' if rule.clock == 'business' else ''}",
            rule.team or "",
            ", ".join(rule.channels) or "nobody",
        )
    console.print(table)
