"""`closeloop rebuild`: what a service derived, derived anew from its own stored facts."""

import json
from typing import Any

import typer

from cli import product
from cli.progress import Tell, progress
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
    wanted = _checked(store)
    with progress(quiet=as_json) as tell:
        moved = product.run(_scorer(wanted, tell))
    _say({"moved": moved}, f"{moved} answers counted elsewhere; every bucket written anew.", as_json=as_json)


@app.command("segmenter")
def rebuild_segmenter(store: str = _store, as_json: bool = _json) -> None:
    """Fold every customer's facts into tier, tags and history again."""
    wanted = _checked(store)
    with progress(quiet=as_json) as tell:
        done = product.run(_segmenter(wanted, tell))
    _say(
        {"customers": done.seen, "changed": done.changed},
        f"{done.seen} customers folded, {done.changed} of them changed.",
        as_json=as_json,
    )


def _checked(store: str) -> str | None:
    if store:
        product.require_store(store)
    return store or None


def _say(result: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(result) if as_json else sentence)


async def _scorer(store: str | None, tell: Tell) -> int:
    config = product.config()
    async with product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database:
        return await scorer.rebuild(database, config, store_name=store, progress=tell)


async def _segmenter(store: str | None, tell: Tell) -> segmenter.Rebuilt:
    rules = segmenter.loyalty_rules(product.config())
    async with product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database:
        return await segmenter.rebuild(
            database, rules, store, progress=lambda seen: tell("customers", seen, 0)
        )
