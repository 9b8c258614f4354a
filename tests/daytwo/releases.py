"""Two releases of the product on the same engines: this tree, and the release before it."""

import asyncio
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import httpx

from deploy.local.process import ChildProcess
from tests.e2e.ports import free_row
from tests.e2e.product import ROOT

SERVICES = ("collector", "scorer", "segmenter", "notifier")


PREVIOUS = "19ba86c00b8b7dc21be3d1200848ae7b58a84482"
"""The last commit of the release before this one: what runs at somebody's when they upgrade. The first commit
after a release that adds a migration sets it."""


def unpack_previous(into: Path) -> Path | None:
    """The tree of the release before; None without that history."""
    packed = _git("archive", PREVIOUS)
    if not packed:
        return None
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        # Debian's Python 3.11.2 is older than the filters, later ones ask for one.
        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(into, **safely)
    return into


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


class Release:
    """The commands and the four services of one tree."""

    def __init__(self, name: str, tree: Path, home: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.tree = tree
        first = free_row(len(SERVICES))
        ports = {service: first + place for place, service in enumerate(SERVICES)}
        self.urls = {service: f"http://127.0.0.1:{port}" for service, port in ports.items()}
        own = {f"{service.upper()}_PORT": str(port) for service, port in ports.items()}
        self._environment = environment | own
        self.logs = {service: home / f"{name}-{service}.log" for service in SERVICES}
        self.processes = {
            service: ChildProcess(service, log=log, pid_file=log.with_suffix(".pid"))
            for service, log in self.logs.items()
        }

    def needs_more_than(self, other: "Release") -> list[str]:
        """The services with a migration that the other release does not have."""
        return [service for service in SERVICES if self.migrations(service) - other.migrations(service)]

    def migrations(self, service: str) -> set[str]:
        return {file.name for file in (self.tree / "services" / service / "migrations").glob("0*.py")}

    async def command(self, *arguments: str) -> tuple[int, str]:
        """`closeloop ARGUMENTS` of this release: exit code and output."""
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli.main",
            *arguments,
            cwd=self.tree,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(running.communicate(), 120)
        return running.returncode or 0, output.decode()

    def told(self, service: str, event: str) -> list[dict[str, str]]:
        """The lines of its log about one event."""
        lines = (json.loads(line) for line in self.logs[service].read_text().splitlines() if line[0] == "{")
        return [line for line in lines if line["event"] == event]

    def start(self, *services: str) -> None:
        for service in services or SERVICES:
            command = [sys.executable, "-m", f"services.{service}", "serve"]
            self.processes[service].spawn(command, env=self._environment, cwd=self.tree)

    def stop(self, service: str) -> None:
        """SIGTERM, as a rolling restart does."""
        self.processes[service].stop(12)

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()

    async def ready(self, *services: str) -> bool:
        async with httpx.AsyncClient(timeout=3, trust_env=False, verify=False) as client:
            try:
                said = [await client.get(f"{self.urls[s]}/readyz") for s in services or SERVICES]
            except httpx.TransportError:
                return False
        return all(answer.status_code == 200 for answer in said)
