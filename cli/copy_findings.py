"""What `closeloop doctor` examines where the embedded parts are: this machine, and the copy of `make run` on
it."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil

from cli.findings import Finding, clock, python
from deploy.local import demo_file, jars, ports
from deploy.local.errors import LocalStackError
from deploy.local.health import check_all, kafka, postgres
from deploy.local.home import SERVICES, Home
from deploy.local.process import recorded_process
from shared.kafka.log_identity import ADOPT, DECIDE

NEEDED_DISK_BYTES = 1_000_000_000
NEEDED_MEMORY_BYTES = 1_500_000_000


def examine(home: Home) -> list[Finding]:
    """Check the machine, what a start needs, and whether the parts that should run answer."""
    checks: tuple[Callable[[Home], Finding], ...] = (
        _home,
        disk,
        _memory,
        _kafka_jars,
        _leftovers,
        _service_ports,
    )
    findings = [python(), clock(), *(check(home) for check in checks)]
    return findings + asyncio.run(_engines(home))


def _home(home: Home) -> Finding:
    folder = _nearest(home.root)
    writable = os.access(folder, os.W_OK | os.X_OK)
    return Finding(
        "home",
        writable,
        f"{home.root} is {'' if writable else 'not '}writable",
        f"Make {folder} writable, or set CLOSELOOP_HOME to another folder.",
    )


def disk(home: Home) -> Finding:
    """The free space of the fullest volume: the folders of the engines may be volumes of their own."""
    folders = [_nearest(folder) for folder in (home.root, home.root / "kafka", home.root / "postgres")]
    free, fullest = min((shutil.disk_usage(folder).free, folder) for folder in folders)
    return Finding(
        "disk",
        free >= NEEDED_DISK_BYTES,
        f"{free / 1e9:.1f} GB free in {fullest}",
        "Free at least 1 GB there: Kafka and PostgreSQL stop when it is full, and go on when there is room.",
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
    processes = ", ".join(f"{name} ({pid})" for name, pid in left.items())
    return Finding(
        "leftovers",
        not left,
        f"still running without a supervisor: {processes}" if left else "none",
        "`closeloop up` ends them and starts new ones.",
    )


def _service_ports(home: Home) -> Finding:
    running, problems = home.holder() is not None, []
    for service in SERVICES:
        if running and not _is_a_strangers(home, service):
            continue
        try:
            ports.require_free(home.port(service), service, remedy="")
        except LocalStackError as error:
            problems.append(str(error))
    first, last = home.port(SERVICES[0]), home.port(SERVICES[-1])
    return Finding(
        "ports",
        not problems,
        "; ".join(problems) or ("in use by this copy" if running else f"{first} to {last} are free"),
        "Stop that process, or set CLOSELOOP_PORT to another first port.",
    )


def _is_a_strangers(home: Home, service: str) -> bool:
    """Whether somebody else took the port of a service that died, so that it cannot be started again."""
    holder, own = ports.holder(home.port(service)), recorded_process(home.pid_file(service))
    return holder is not None and (own is None or holder.pid != own.pid)


async def _engines(home: Home) -> list[Finding]:
    """What should be answering now: all parts of a running copy, and engines named by the environment."""
    findings = []
    remedy = "Look at its log below $CLOSELOOP_HOME/logs; the supervisor starts it again when it ends."
    if demo := demo_file.read(home.demo_file):
        for name, part in (await check_all(demo)).items():
            found = json.dumps(part.detail)
            findings.append(Finding(name, part.healthy, found, DECIDE if ADOPT in found else remedy))
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
