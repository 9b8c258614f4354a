"""`closeloop republish`: have a service publish all of its states again."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import typer

from cli import CommandError, product
from cli.progress import ReportProgress, progress
from services.scorer import operations as scorer
from services.segmenter import operations as segmenter
from shared.db import Database

app = typer.Typer(
    help="Have a running service publish all of its states again; consumers ignore what they know.",
    no_args_is_help=True,
)

STATEMENT_TIMEOUT_SECONDS = 120
LOOK_EVERY_SECONDS = 0.5

Work = Callable[[Database, str | None], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Service:
    """Marks all of its states, and counts those that were not sent yet."""

    name: str
    mark: Work
    count_unpublished: Work


SCORER = Service("scorer", scorer.republish, scorer.count_unpublished)
SEGMENTER = Service("segmenter", segmenter.republish, segmenter.count_unpublished)

_store = typer.Option("", "--store", help="Only this store.")
_wait = typer.Option(False, "--wait", help="Until the service has sent them all.")
_timeout = typer.Option(600, "--timeout", help="How long to wait, in seconds.", min=0)
_json = typer.Option(False, "--json", help="What was done, as JSON.")


@app.command("scorer")
def republish_scorer(
    store: str = _store, wait: bool = _wait, timeout_seconds: float = _timeout, as_json: bool = _json
) -> None:
    """Every score, on feedback.scores.v1. Needed after that topic was lost or made anew."""
    _republish(SCORER, store, timeout_seconds if wait else None, as_json=as_json)


@app.command("segmenter")
def republish_segmenter(
    store: str = _store, wait: bool = _wait, timeout_seconds: float = _timeout, as_json: bool = _json
) -> None:
    """Every customer's standing, on loyalty.customers.v1. Needed after that topic was lost or made anew."""
    _republish(SEGMENTER, store, timeout_seconds if wait else None, as_json=as_json)


def _republish(service: Service, store: str, wait_seconds: float | None, *, as_json: bool) -> None:
    if store:
        product.require_store(store)
    with progress(quiet=as_json) as report_progress:
        marked, left = product.run(_work(service, store or None, wait_seconds, report_progress))
    if as_json:
        typer.echo(json.dumps({"marked": marked, "waiting": left}))
    elif wait_seconds is None:
        typer.echo(f"{marked} states will be published again by the running {service.name}.")
    elif not left:
        typer.echo(f"{marked} states published again.")
    if wait_seconds is not None and left:
        raise CommandError(
            f"After {wait_seconds:.0f} s {left} states are still to be sent",
            remedy=f"Is the {service.name} running, and does Kafka answer? `closeloop status` says.",
        )


async def _work(
    service: Service, store: str | None, wait_seconds: float | None, report_progress: ReportProgress
) -> tuple[int, int]:
    """How many were marked, and how many of the store's states were not sent at the end."""
    async with product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database:
        marked = await service.mark(database, store)
        left = await service.count_unpublished(database, store)
        deadline = time.monotonic() + (wait_seconds or 0)
        while left and time.monotonic() < deadline:
            report_progress(service.name, max(0, marked - left), marked)
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            left = await service.count_unpublished(database, store)
        return marked, left
