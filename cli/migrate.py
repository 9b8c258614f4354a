"""`closeloop migrate`: every schema of the database at the head of this code."""

import asyncio
import json
import time

import typer
from rich.console import Console

from cli import CommandError, product
from shared.db import migrations

CHECK_INTERVAL_SECONDS = 1.0


def migrate(
    wait: bool = typer.Option(False, "--wait", help="Change nothing: wait until somebody has migrated."),
    timeout_seconds: float = typer.Option(600, "--timeout", help="How long to wait, in seconds.", min=0),
    as_json: bool = typer.Option(False, "--json", help="The revision of each schema, as JSON."),
) -> None:
    """Bring every schema up to date. Harmless twice; several at once take turns."""
    url = product.database_url()
    if wait:
        product.run(_wait(url, timeout_seconds))
        typer.echo(json.dumps({"at_head": True}) if as_json else "Every schema is at the head of this code.")
        return
    revisions = product.run(_migrate(url))
    if as_json:
        typer.echo(json.dumps(revisions, indent=2))
        return
    console = Console(soft_wrap=True, highlight=False)
    for schema, revision in revisions.items():
        console.print(f"{schema:<10} {revision}", markup=False)


async def _migrate(url: str) -> dict[str, str]:
    return {
        migrations.schema_of(package): await migrations.migrate(url, package)
        for package in migrations.PACKAGES
    }


async def _wait(url: str, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            for package in migrations.PACKAGES:
                await migrations.check(url, package)
        except migrations.SchemaBehind as error:
            behind = str(error)
        except OSError as error:  # not up yet, as when everything starts at once
            behind = f"PostgreSQL does not answer ({type(error).__name__})"
        else:
            return
        if time.monotonic() + CHECK_INTERVAL_SECONDS > deadline:
            raise CommandError(
                f"After {timeout_seconds:.0f} s {behind}",
                remedy="Run `closeloop migrate` (without --wait) once for each release.",
            )
        await asyncio.sleep(CHECK_INTERVAL_SECONDS)
