"""Two engines, two collectors, and two replicas of each consumer, started again when they die."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.local.process import ChildProcess
from deploy.local.stack import LocalStack
from tests.e2e.eventually import eventually
from tests.e2e.ports import free_row

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("closeloop.yaml")
CONSUMERS = ("scorer", "segmenter", "notifier")
STOP_GRACE_SECONDS = 12
SIGNING_SECRET = "whsec_dGhlIGZhdWx0IGpvdXJuZXkgc2lnbnMgd2l0aCB0aGlzIG9uZQ=="


class Replica:
    """One process of a service, at the same address after every start."""

    def __init__(self, name: str, command: list[str], *, home: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.service = name.partition("-")[0]
        self.port = free_row(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.wanted = False
        self._lock = threading.Lock()
        self._command = [sys.executable, "-m", f"services.{self.service}", *command]
        self._environment = environment | {f"{self.service.upper()}_PORT": str(self.port)}
        self.process = ChildProcess(name, log=home / f"{name}.log", pid_file=home / f"{name}.pid")

    def start(self) -> None:
        with self._lock:
            if self.process.pid is None:
                self.process.spawn(self._command, env=self._environment, cwd=ROOT)
            self.wanted = True

    def stop(self) -> bool:
        """SIGTERM; whether it ended by itself within its grace."""
        with self._lock:
            self.wanted = False
            self.process.send(signal.SIGTERM)
            gracefully = self.process.wait(STOP_GRACE_SECONDS)
            self.process.kill()
            return gracefully

    def kill(self) -> None:
        with self._lock:
            self.wanted = False
            self.process.kill()

    def pause(self) -> None:
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send(signal.SIGCONT)

    async def is_ready(self) -> bool:
        try:
            async with httpx.AsyncClient(timeout=3, trust_env=False, verify=False) as client:
                return (await client.get(f"{self.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False


class Cluster:
    """`say` is told what is worth a line. `stack`: the engines, by default one of each."""

    def __init__(
        self,
        home: Path,
        *,
        alerts_url: str,
        say: Callable[[str], None],
        stack: Any = None,
        copies: int = 1,
    ) -> None:
        self.home = home
        self.stack = stack or LocalStack(home / "stack")
        self._copies = copies
        self.unasked = 0
        """How often a process ended though nobody told it to."""
        self._say = say
        self.environment = os.environ | {
            "DATABASE_URL": self.stack.postgres.url,
            "KAFKA_BOOTSTRAP_SERVERS": self.stack.kafka.bootstrap,
            "CLOSELOOP_CONFIG": str(CONFIG),
            "CLOSELOOP_SECRET": "the root secret of the fault journey, long enough",
            "CLOSELOOP_ALERTS_URL": alerts_url,
            "CLOSELOOP_ALERTS_SECRET": SIGNING_SECRET,
            "CLOSELOOP_ALLOW_PRIVATE_TARGETS": "1",
            "SCORER_PUBLISH_INTERVAL_SECONDS": "1",
            "SEGMENTER_PUBLISH_INTERVAL_SECONDS": "1",
            # A delivery of a killed notifier is sent again when its lease is over: soon, here.
            "NOTIFIER_SEND_TIMEOUT_SECONDS": "4",
            "NOTIFIER_LEASE_SECONDS": "10",
            "NOTIFIER_RETRY_SCALE": "0.05",
        }
        self.collectors = [self._replica("collector", n, "serve") for n in (1, 2)]
        self.apis = {service: self._replica(service, 1, "serve") for service in CONSUMERS}
        self.seconds = {
            service: self._replica(service, 2, "serve", "--only", "consumer") for service in CONSUMERS
        }

    def _replica(self, service: str, number: int, *command: str) -> Replica:
        home = self.home / "services"
        return Replica(f"{service}-{number}", list(command), home=home, environment=self.environment)

    @property
    def replicas(self) -> list[Replica]:
        return [*self.collectors, *self.apis.values(), *self.seconds.values()]

    @property
    def consumers(self) -> list[Replica]:
        return [*self.apis.values(), *self.seconds.values()]

    @contextmanager
    def engines(self) -> Iterator[None]:
        """Kafka and PostgreSQL, as long as the block; nothing of the cluster outlives it."""
        with self.stack:
            try:
                yield
            finally:
                for replica in self.replicas:
                    replica.kill()

    async def prepare(self) -> str:
        """Topics, schemas, and a key that may do everything."""
        topics = ("topics", "--create", "--partitions", "6", "--replication", str(self._copies))
        await asyncio.gather(self.command(*topics), self.command("migrate"))
        return (await self.command("keys", "create", "--store", "demo", "--scope", "admin")).strip()

    async def let_alerts_go(self) -> None:
        """To the notifier the lie of `Auditor.lie_to_kafka` is a restored database: it holds all alerts."""

        async def held() -> bool:
            return json.loads(await self.command("deliveries", "status", "--json"))["held"] == ["restored"]

        await eventually(held, within_seconds=60)
        await self.command("deliveries", "release")

    async def command(self, *arguments: str) -> str:
        """`closeloop ARGUMENTS`; its output. Fails if it fails."""
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli.main",
            *arguments,
            cwd=ROOT,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(running.communicate(), 120)
        assert running.returncode == 0, (
            f"closeloop {' '.join(arguments)}: {output.decode()} {errors.decode()}"
        )
        return output.decode()

    async def start(self, replicas: Sequence[Replica]) -> None:
        """All at once, until all are ready."""
        await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in replicas))

        async def ready() -> bool:
            return all(await asyncio.gather(*(replica.is_ready() for replica in replicas)))

        await eventually(ready, within_seconds=120)

    async def keep(self) -> None:
        """For ever: start again what ended by itself."""
        while True:
            for replica in self.replicas:
                if replica.wanted and replica.process.pid is None:
                    self.unasked += 1
                    self._say(f"{replica.name} ended by itself (code {replica.process.exit_code})")
                    await asyncio.to_thread(replica.start)
            await asyncio.sleep(0.2)

    async def all_ready(self) -> bool:
        return all(await asyncio.gather(*(replica.is_ready() for replica in self.replicas)))

    def logged(self, text: str) -> int:
        """In how many log lines of the services it stands."""
        files = (self.home / "services").glob("*.log")
        return sum(file.read_text(errors="replace").count(text) for file in files)
