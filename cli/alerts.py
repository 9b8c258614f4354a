"""`closeloop alerts test`: what the rules of a file would have done with the answers of the last days."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from cli import CommandError, product
from services.notifier.cases.domain.rules import Rule
from services.notifier.operations import Judged, judged_answers
from services.notifier.settings import Alerts, alerts_of
from shared.config import Config, ConfigError, load

app = typer.Typer(help="Rules of alerts and cases.", no_args_is_help=True)

STATEMENT_TIMEOUT_SECONDS = 120
NO_RULE = "(no rule)"


@app.callback()
def _root() -> None:
    # Without it Typer would drop the word `test`, as long as there is no second command.
    pass


@dataclass
class Found:
    """What the rules would have done."""

    answers: int = 0
    cases: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    cases_by_rule: Counter[str] = field(default_factory=Counter)
    rules: dict[str, Rule] = field(default_factory=dict)

    def add(self, judged: Judged) -> None:
        self.answers += 1
        name = judged.rule.name if judged.rule else NO_RULE
        self.by_rule[name] += 1
        if judged.rule:
            self.rules.setdefault(name, judged.rule)
        if judged.opens:
            self.cases += 1
            self.cases_by_rule[name] += 1


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
        known = load(path)
        sections = alerts_of(known)
    except ConfigError as error:
        raise CommandError(
            f"{path}, {error.mistakes[0]}", remedy="`closeloop config check FILE` prints every mistake."
        ) from None
    name = _store(known, path, store)
    found = product.run(_try(name, sections[name], days))
    if as_json:
        typer.echo(json.dumps(_as_json(path, name, days, sections[name], found), indent=2))
    else:
        _print(path, name, days, sections[name], found)


def _store(config: Config, path: Path, wanted: str) -> str:
    if wanted and wanted not in config.stores:
        raise CommandError(
            f"{path} has no store {wanted!r}", remedy=f"It has: {', '.join(sorted(config.stores))}."
        )
    return wanted or next(iter(config.stores))


async def _try(store: str, alerts: Alerts, days: int) -> Found:
    found = Found()
    since = datetime.now(UTC) - timedelta(days=days)
    async with (
        product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database,
        database.snapshot() as session,
    ):
        answers: AsyncIterator[Judged] = judged_answers(session, store, alerts.policy, since)
        async for judged in answers:
            found.add(judged)
    return found


def _rows(alerts: Alerts, found: Found) -> list[dict[str, Any]]:
    """A row for each rule in its order, those that took nothing too."""
    rows = []
    for rule in (*alerts.policy.rules, *(r for n, r in found.rules.items() if n == "default")):
        taken = found.by_rule[rule.name]
        channels = list(alerts.targets) if rule.channels is None else list(rule.channels)
        rows.append(
            {
                "rule": rule.name,
                "answers": taken,
                "share": round(taken / found.answers, 4) if found.answers else 0.0,
                "cases": found.cases_by_rule[rule.name],
                "priority": rule.priority.value,
                "first_contact_hours": rule.first_contact_hours,
                "resolve_hours": rule.resolve_hours,
                "clock": rule.clock.value,
                "team": rule.team,
                "channels": channels,
            }
        )
    return rows


def _as_json(path: Path, store: str, days: int, alerts: Alerts, found: Found) -> dict[str, Any]:
    return {
        "path": str(path),
        "store": store,
        "days": days,
        "answers": found.answers,
        "without_rule": found.by_rule[NO_RULE],
        "cases": found.cases,
        "rules": _rows(alerts, found),
    }


def _print(path: Path, store: str, days: int, alerts: Alerts, found: Found) -> None:
    console = Console(highlight=False)
    console.print(
        f"{path}, store {store}: {found.answers} answers of the last {days} days would open "
        f"{found.cases} cases; {found.by_rule[NO_RULE]} answers match no rule. Nothing was changed.",
        markup=False,
    )
    table = Table("rule", box=None, pad_edge=False)
    for column in ("answers", "share", "cases"):
        table.add_column(column, justify="right")
    for column in ("priority", "first contact", "team", "channels"):
        table.add_column(column)
    for row in _rows(alerts, found):
        table.add_row(
            row["rule"],
            str(row["answers"]),
            f"{row['share']:.1%}",
            str(row["cases"]),
            row["priority"],
            f"{row['first_contact_hours']:g} h{' of business' if row['clock'] == 'business' else ''}",
            row["team"] or "",
            ", ".join(row["channels"]) or "nobody",
        )
    console.print(table)
