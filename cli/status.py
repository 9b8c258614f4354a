"""`closeloop status`: what runs, where, and how it is doing."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from cli import CommandError
from deploy.local import demo_file
from deploy.local.health import PartHealth, check_all
from deploy.local.home import Home


def status(as_json: bool = typer.Option(False, "--json", help="demo.json and the health, as JSON.")) -> None:
    """Show the health of each part. Exit code 1 unless everything is healthy."""
    home = Home.from_environment()
    demo = demo_file.read(home.demo_file)
    if demo is None:
        _not_up(home, as_json=as_json)
    else:
        parts = asyncio.run(check_all(demo))
        (_print_json if as_json else _print_table)(demo, parts)
        if not _healthy(parts):
            raise typer.Exit(1)


def _not_up(home: Home, *, as_json: bool) -> None:
    message = (
        f"Closeloop is starting from {home.root}"
        if home.holder() is not None
        else f"Closeloop is not running from {home.root}"
    )
    if as_json:
        typer.echo(json.dumps({"healthy": False, "error": message}))
        raise typer.Exit(1)
    raise CommandError(
        message, remedy="Start it with `make run`; `closeloop doctor` says what may be in the way."
    )


def _healthy(parts: dict[str, PartHealth]) -> bool:
    return all(part.healthy for part in parts.values())


def _print_json(demo: dict[str, Any], parts: dict[str, PartHealth]) -> None:
    health = {name: asdict(part) for name, part in parts.items()}
    typer.echo(json.dumps({**demo, "healthy": _healthy(parts), "health": health}, indent=2))


def _print_table(demo: dict[str, Any], parts: dict[str, PartHealth]) -> None:
    table = Table("part", "pid", "address", "health", box=None)
    addresses = {"kafka": demo["kafka_bootstrap"], "postgres": "", **demo["urls"]}
    for name, part in parts.items():
        detail = "" if part.healthy else " " + json.dumps(part.detail)
        mark = "[green]ok[/green]" if part.healthy else "[red]not healthy[/red]"
        pid = str(demo["pids"].get(name, "not ours"))
        table.add_row(name, pid, addresses[name], mark + detail.replace("[", "\\["))
    Console(soft_wrap=True).print(table)
