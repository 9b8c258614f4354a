"""An own Kafka and PostgreSQL in a folder that is removed again, and processes on top of them."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import asyncpg

from bench import machine
from deploy.local import ports
from deploy.local.home import PROJECT
from deploy.local.process import ChildProcess, wait_until
from deploy.local.services import probe
from deploy.local.stack import LocalStack
from shared.access import keys
from shared.access.scopes import Scope
from shared.config.secrets import Secrets
from shared.db import Database, migrations
from shared.kafka import topics

STORE = "bench"
CONFIG = Path(__file__).with_name("closeloop.yaml")
SECRET = "only-for-the-benchmark-on-the-loopback"
_STOP_SECONDS = 12


class Failed(Exception):
    """The benchmark cannot go on; `str()` is for the person who started it."""


class Running:
    """A server process of the product or of a peer."""

    def __init__(self, name: str, child: ChildProcess, port: int) -> None:
        self.name = name
        self.port = port
        self._child = child

    @property
    def pid(self) -> int:
        pid = self._child.pid
        if pid is None:
            raise Failed(f"{self.name} ended with {self._child.exit_code}:\n{_tail(self._child.log)}")
        return pid

    @property
    def log(self) -> Path:
        return self._child.log

    def cpu_seconds(self) -> float:
        return machine.cpu_seconds(self.pid)

    def resident_mb(self) -> tuple[float, float]:
        """Now and at its highest."""
        return machine.resident_mb(self.pid)

    def stop(self) -> None:
        self._child.stop(_STOP_SECONDS)


class Stage:
    """Both engines with the product's topics; databases, services and peers on demand."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="closeloop-bench-"))
        self._stack = LocalStack(self._folder)
        self._running: list[Running] = []

    def __enter__(self) -> Self:
        try:
            self._stack.start()
            asyncio.run(topics.ensure(self.bootstrap))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for running in reversed(self._running):
            running.stop()
        self._stack.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def bootstrap(self) -> str:
        return self._stack.kafka.bootstrap

    def postgres_cpu_seconds(self) -> float:
        """Of the server and all its backends."""
        pid = self._stack.postgres.pid
        if pid is None:
            raise Failed("PostgreSQL ended")
        return machine.family_cpu_seconds(pid)

    def engine_pids(self) -> dict[str, int]:
        return {"kafka": self._stack.kafka.pid or 0, "postgres": self._stack.postgres.pid or 0}

    def topic_bytes(self) -> dict[str, int]:
        """What the log segments of each topic hold."""
        sizes: dict[str, int] = {}
        for segment in self._folder.glob("kafka/log/*-*/*.log"):
            topic = segment.parent.name.rpartition("-")[0]
            sizes[topic] = sizes.get(topic, 0) + segment.stat().st_size
        return sizes

    def empty_database(self, name: str) -> str:
        """The address of a new database."""
        asyncio.run(self._execute(f"CREATE DATABASE {name}"))
        return self._stack.postgres.url.rpartition("/")[0] + f"/{name}"

    def drop_database(self, name: str) -> None:
        asyncio.run(self._execute(f"DROP DATABASE {name} WITH (FORCE)"))

    async def _execute(self, statement: str) -> None:
        db = await asyncpg.connect(self._stack.postgres.url)
        try:
            await db.execute(statement)
        finally:
            await db.close()

    def database(self, name: str) -> str:
        """The address of a new database with every schema of the product."""
        url = self.empty_database(name)

        async def migrate() -> None:
            for package in migrations.PACKAGES:
                await migrations.migrate(url, package)

        asyncio.run(migrate())
        return url

    def key(self, database_url: str) -> str:
        """A secret key of the benchmark's store with every scope."""

        async def create() -> str:
            database = Database(database_url, pool_size=1)
            try:
                async with database.transaction() as session:
                    return await keys.create(
                        session,
                        store=STORE,
                        kind="secret",
                        scopes=[scope.value for scope in Scope],
                        name="bench",
                        pepper=Secrets(SECRET).pepper,
                    )
            finally:
                await database.close()

        return asyncio.run(create())

    def service(self, name: str, database_url: str, *, label: str = "", **settings: str) -> Running:
        """Start `python -m services.NAME serve` and return at once; `settings` go into its environment."""
        port = ports.choose()
        environment = {
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "CLOSELOOP_CONFIG": str(CONFIG),
            "CLOSELOOP_SECRET": SECRET,
            "CLOSELOOP_ALLOW_PRIVATE_TARGETS": "1",
            f"{name.upper()}_HOST": ports.LOOPBACK,
            f"{name.upper()}_PORT": str(port),
            **settings,
        }
        return self._start(label or name, [f"services.{name}", "serve"], environment, port)

    async def services(
        self, database_url: str, alerts_url: str, settings: Mapping[str, Mapping[str, str]]
    ) -> dict[str, Running]:
        """Start these services, and wait until all are ready. `settings`: of each service, by its name.

        Alerts go to `alerts_url`, and the collector takes any number of requests.
        """
        running = {
            name: await asyncio.to_thread(
                self.service,
                name,
                database_url,
                CLOSELOOP_ALERTS_URL=alerts_url,
                COLLECTOR_RATE_LIMIT_PER_SECOND="0",
                **own,
            )
            for name, own in settings.items()
        }
        await asyncio.to_thread(wait_ready, *running.values())
        return running

    def peer(self, name: str, **environment: str) -> Running:
        """Start the peer `bench.peers.NAME`, which listens on the port in PORT, and wait until it does."""
        port = ports.choose()
        settings = {"PORT": str(port), "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap, **environment}
        running = self._start(name, [f"bench.peers.{name}"], settings, port)
        if not wait_until(lambda: ports.answers(ports.LOOPBACK, port), timeout_seconds=30):
            raise Failed(f"the peer {name} does not listen:\n{_tail(running.log)}")
        return running

    def _start(self, name: str, module: list[str], environment: dict[str, str], port: int) -> Running:
        number = len(self._running)
        child = ChildProcess(
            name, log=self._folder / f"{number}-{name}.log", pid_file=self._folder / f"{number}-{name}.pid"
        )
        running = Running(name, child, port)
        self._running.append(running)
        child.spawn([sys.executable, "-m", *module], env={**os.environ, **environment}, cwd=PROJECT)
        return running


def wait_ready(*services: Running, timeout_seconds: float = 60) -> None:
    """Until `/readyz` of every service is 200."""
    for service in services:
        address = f"http://{ports.LOOPBACK}:{service.port}/readyz"
        if not wait_until(lambda: bool(service.pid) and probe(address)[0], timeout_seconds=timeout_seconds):  # noqa: B023 - called in this turn only
            raise Failed(f"{service.name} is not ready: {probe(address)[1]}\n{_tail(service.log)}")


def run_module(module: str, *arguments: object, timeout_seconds: float, **environment: str) -> dict[str, Any]:
    """Run `python -m MODULE ARGUMENTS` to its end; the JSON that it printed last."""
    run = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
    )
    with contextlib.suppress(ValueError, IndexError):
        if run.returncode == 0:
            result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
            return result
    raise Failed(f"{module} failed:\n{run.stderr[-2000:]}")


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.exists() else ""
