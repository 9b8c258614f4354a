"""`closeloop doctor`: what is wrong with this machine or this copy, and what to do."""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import typer
from rich.console import Console

from deploy.local import demo_file, jars, ports
from deploy.local.errors import LocalStackError
from deploy.local.health import check_all, kafka, postgres
from deploy.local.home import SERVICES, Home
from deploy.local.process import recorded_process

NEEDED_PYTHON = (3, 11)
NEEDED_DISK_BYTES = 1_000_000_000
NEEDED_MEMORY_BYTES = 1_500_000_000
# Before this the clock is certainly wrong: the code did not exist.
EARLIEST_YEAR = 2026


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do if it is not ok."""

    check: str
    ok: bool
    found: str
    remedy: str = ""


def doctor(as_json: bool = typer.Option(False, "--json", help="The findings as JSON.")) -> None:
    """Say what is wrong and what to do. Exit code 1 if anything is."""
    findings = examine(Home.from_environment())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def examine(home: Home) -> list[Finding]:
    """Every check, in the order in which a start would stumble."""
    checks: tuple[Callable[[Home], Finding], ...] = (
        _python,
        _home,
        _disk,
        _memory,
        _clock,
        _kafka_jars,
        _leftovers,
        _service_ports,
    )
    findings = [check(home) for check in checks]
    return findings + asyncio.run(_engines(home))


def _python(_: Home) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= NEEDED_PYTHON, found, "Install Python 3.11 or newer.")


def _home(home: Home) -> Finding:
    folder = _nearest(home.root)
    writable = os.access(folder, os.W_OK | os.X_OK)
    return Finding(
        "home",
        writable,
        f"{home.root} is {'' if writable else 'not '}writable",
        f"Make {folder} writable, or set CLOSELOOP_HOME to another folder.",
    )


def _disk(home: Home) -> Finding:
    free = shutil.disk_usage(_nearest(home.root)).free
    return Finding(
        "disk",
        free >= NEEDED_DISK_BYTES,
        f"{free / 1e9:.1f} GB free",
        "Free at least 1 GB: Kafka and PostgreSQL stop when the disk is full.",
    )


def _memory(home: Home) -> Finding:
    free = psutil.virtual_memory().available
    enough = home.holder() is not None or free >= NEEDED_MEMORY_BYTES
    return Finding(
        "memory",
        enough,
        f"{free / 1e9:.1f} GB available",
        "The embedded stack needs about 1.5 GB: stop something.",
    )


def _clock(_: Home) -> Finding:
    now = time.gmtime()
    return Finding(
        "clock",
        now.tm_year >= EARLIEST_YEAR,
        time.strftime("%Y-%m-%d %H:%M:%S UTC", now),
        "Set the machine's clock: answers are counted by time.",
    )


def _kafka_jars(_: Home) -> Finding:
    folder = jars.cache_folder()
    locked = jars.read_lock()
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return Finding("jars", True, "not needed: KAFKA_BOOTSTRAP_SERVERS is set")
    if jars.are_present(folder, locked):
        return Finding("jars", True, f"{len(locked)} in {folder}")
    try:
        jars.try_fetching(min(locked, key=lambda jar: jar.artifact))
    except LocalStackError as error:
        return Finding("jars", False, str(error), error.remedy)
    return Finding("jars", True, "not here yet; the registry answers, the next start fetches them")


def _leftovers(home: Home) -> Finding:
    if home.holder() is not None:
        return Finding("leftovers", True, f"none: process {home.holder()} is running this copy")
    files = sorted((home.root / "run").glob("*.json"))
    left = {file.stem: process.pid for file in files if (process := recorded_process(file))}
    found = ", ".join(f"{name} ({pid})" for name, pid in left.items())
    return Finding(
        "leftovers",
        not left,
        f"still running without a supervisor: {found}" if left else "none",
        "`closeloop up` ends them and starts new ones.",
    )


def _service_ports(home: Home) -> Finding:
    if home.holder() is not None:
        return Finding("ports", True, "in use by this copy")
    problems = []
    for service in SERVICES:
        try:
            ports.require_free(home.port(service), service, remedy="")
        except LocalStackError as error:
            problems.append(str(error))
    first, last = home.port(SERVICES[0]), home.port(SERVICES[-1])
    return Finding(
        "ports",
        not problems,
        "; ".join(problems) or f"{first} to {last} are free",
        "Stop that process, or set CLOSELOOP_PORT to another first port.",
    )


async def _engines(home: Home) -> list[Finding]:
    """What should be answering now: all parts of a running copy, and engines named by the environment."""
    findings = []
    remedy = "Look at its log below $CLOSELOOP_HOME/logs; the supervisor starts it again when it ends."
    if demo := demo_file.read(home.demo_file):
        for name, part in (await check_all(demo)).items():
            findings.append(Finding(name, part.healthy, json.dumps(part.detail), remedy))
        return findings
    if bootstrap := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        health = await asyncio.to_thread(kafka, bootstrap)
        hint = "Start that Kafka, or unset KAFKA_BOOTSTRAP_SERVERS to use the embedded one."
        findings.append(Finding("kafka", health.healthy, json.dumps(health.detail), hint))
    if url := os.environ.get("DATABASE_URL"):
        health = await postgres(url)
        hint = "Start that PostgreSQL, or unset DATABASE_URL to use the embedded one."
        findings.append(Finding("postgres", health.healthy, json.dumps(health.detail), hint))
    return findings


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _print(findings: list[Finding]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        console.print("[green]ok   [/green]" if finding.ok else "[red]WRONG[/red]", end=" ")
        console.print(f"{finding.check:<10} {finding.found}", markup=False)
        if not finding.ok:
            console.print(f"      {'':<10} {finding.remedy}", markup=False)
