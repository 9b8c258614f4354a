"""`closeloop rebuild`: what a service derived, derived anew from its own stored facts."""

import json
from typing import Any

import typer

from cli import product
from cli.progress import ReportProgress, progress
from services.scorer import operations as scorer
from services.segmenter import operations as segmenter

app = typer.Typer(
    help="Derive anew what a service keeps, from its own stored facts; the service may go on meanwhile.",
    no_args_is_help=True,
)

STATEMENT_TIMEOUT_SECONDS = 600

_store = typer.Option("", "--store", help="Only this store.")
_json = typer.Option(False, "--json", help="What was done, as JSON.")


@app.command("scorer")
def rebuild_scorer(store: str = _store, as_json: bool = _json) -> None:
    """Count every answer where today's configuration says, then write every bucket anew.

    Needed after a segment, touchpoint or time zone was declared.
    """
    only_store = _checked(store)
    with progress(quiet=as_json) as report_progress:
        moved = product.run(_scorer(only_store, report_progress))
    _print(
        {"moved": moved}, f"{moved} answers counted elsewhere; every bucket written anew.", as_json=as_json
    )


@app.command("segmenter")
def rebuild_segmenter(store: str = _store, as_json: bool = _json) -> None:
    """Fold every customer's facts into tier, tags and history again."""
    only_store = _checked(store)
    with progress(quiet=as_json) as report_progress:
        rebuilt = product.run(_segmenter(only_store, report_progress))
    _print(
        {"customers": rebuilt.seen, "changed": rebuilt.changed},
        f"{rebuilt.seen} customers folded, {rebuilt.changed} of them changed.",
        as_json=as_json,
    )


def _checked(store: str) -> str | None:
    """The store, None for all. CommandError when the configuration lacks it."""
    if store:
        product.require_store(store)
    return store or None


def _print(result: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(result) if as_json else sentence)


async def _scorer(store: str | None, report_progress: ReportProgress) -> int:
    config = product.config()
    async with product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database:
        return await scorer.rebuild(database, config, store_name=store, progress=report_progress)


async def _segmenter(store: str | None, report_progress: ReportProgress) -> segmenter.Rebuilt:
    rules = segmenter.read_rules(product.config())
    async with product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database:
        return await segmenter.rebuild(
            database, rules, store, progress=lambda seen: report_progress("customers", seen, 0)
        )
