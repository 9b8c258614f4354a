"""The product as an operator runs it: `closeloop up` in a home of its own, and other commands beside it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.e2e.eventually import eventually
from tests.e2e.ports import free_row

ROOT = Path(__file__).parents[2]
CLOSELOOP = (sys.executable, "-m", "cli.main")
SERVICES = ("collector", "scorer", "segmenter", "notifier")
CONSUMERS = SERVICES[1:]
UP_SECONDS = 120
STOP_SECONDS = 40


@dataclass(frozen=True)
class Ended:
    """A command that ran to its end."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


class Product:
    """One copy with its home, its port and its configuration."""

    def __init__(self, home: Path, *, config: Path, **environment: str) -> None:
        self.home = home
        self.output = home.with_name(f"{home.name}.out")
        self.environment = os.environ | {
            "CLOSELOOP_HOME": str(home),
            "CLOSELOOP_PORT": str(free_row(len(SERVICES))),
            "CLOSELOOP_CONFIG": str(config),
            "CLOSELOOP_CACHE": os.environ.get("CLOSELOOP_CACHE", str(ROOT / ".closeloop" / "cache")),
            **environment,
        }
        self._up: subprocess.Popen[bytes] | None = None

    # -- its life

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Ready for the length of the block, and ended well by Ctrl-C."""
        try:
            await self.start()
            yield self
            assert await self.stop() == 0
        finally:
            self.kill()

    async def start(self) -> None:
        """`closeloop up`, until it says that everything is ready."""
        self.spawn()
        await eventually(lambda: self._ended() or self.is_up(), within_seconds=UP_SECONDS)
        assert self.is_up(), self.output.read_text()[-4000:]

    def spawn(self) -> None:
        """`closeloop up`, without waiting."""
        with self.output.open("ab") as output:
            self._up = subprocess.Popen(
                [*CLOSELOOP, "up"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the terminal of the tests is not for it
            )

    async def stop(self, signum: int = signal.SIGINT) -> int:
        """As by Ctrl-C; the exit code."""
        assert self._up is not None
        self._up.send_signal(signum)
        return await asyncio.to_thread(self._up.wait, STOP_SECONDS)

    async def ended(self, within_seconds: float) -> int:
        """The exit code, once it ended by itself."""
        assert self._up is not None
        return await asyncio.to_thread(self._up.wait, within_seconds)

    def kill(self) -> None:
        """For the end of the tests: its parts die with it."""
        if self._up is not None and not self._ended():
            self._up.kill()
            self._up.wait(STOP_SECONDS)

    def _ended(self) -> bool:
        return self._up is None or self._up.poll() is not None

    def is_up(self) -> bool:
        return (self.home / "demo.json").exists()

    # -- what it says of itself

    @property
    def demo(self) -> dict[str, Any]:
        """`demo.json`."""
        return json.loads((self.home / "demo.json").read_text())

    @property
    def urls(self) -> dict[str, str]:
        urls: dict[str, str] = self.demo["urls"]
        return urls

    def process(self, part: str) -> psutil.Process:
        return psutil.Process(self.demo["pids"][part])

    def logs(self, part: str = "*") -> Iterator[str]:
        """Every line that the parts wrote."""
        for file in (self.home / "logs").glob(f"{part}.log"):
            yield from file.read_text(errors="replace").splitlines()

    def told(self, part: str, event: str) -> list[dict[str, Any]]:
        """The JSON log lines of one event."""
        lines = (json.loads(line) for line in self.logs(part) if line.startswith("{"))
        return [line for line in lines if line.get("event") == event]

    # -- what an operator does with it

    async def command(self, *arguments: str) -> Ended:
        """`closeloop ARGUMENTS`, in the same environment."""
        running = await asyncio.create_subprocess_exec(
            *CLOSELOOP,
            *arguments,
            cwd=ROOT,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(running.communicate(), 60)
        return Ended(running.returncode or 0, output.decode(), errors.decode())

    async def get(self, service: str, path: str) -> httpx.Response:
        # Plain http on this machine: without the certificates of all the world.
        async with httpx.AsyncClient(timeout=10, trust_env=False, verify=False) as client:
            return await client.get(self.urls[service] + path)

    async def metric(self, service: str, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 if there are none."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        total = 0.0
        for line in (await self.get(service, "/metrics")).text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(part in sample for part in wanted):
                total += float(value)
        return total

    async def is_ready(self, service: str) -> bool:
        try:
            return (await self.get(service, "/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def sql(self, query: str, *arguments: object) -> list[Any]:
        connection = await asyncpg.connect(self.demo["database_url"])
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    @asynccontextmanager
    async def reader(self, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer without a group, at the start of these topics."""
        consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self.demo["kafka_bootstrap"],
            group_id=None,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def record(self, topic: str, about: str) -> Any:
        """The first record of a topic whose value holds this text."""
        async with self.reader(topic) as reader, asyncio.timeout(30):
            while True:
                for records in (await reader.getmany(timeout_ms=500)).values():
                    for record in records:
                        if about.encode() in (record.value or b""):
                            return record

    async def caught_up(self, *services: str) -> None:
        """What was accepted until now is applied by these services (by all of them if none is named)."""
        # Looks by the same two connections: opening them for each look takes CPU that the services need.
        connection = await asyncpg.connect(self.demo["database_url"])
        try:
            async with self.reader() as reader:

                async def done() -> bool:
                    return not await behind(reader, connection, services or CONSUMERS)

                await eventually(done, within_seconds=60)
        finally:
            await connection.close()


async def behind(reader: AIOKafkaConsumer, connection: Any, services: Sequence[str]) -> Counter[str]:
    """How many records each service has still to apply; empty when all are caught up."""
    waiting: Counter[str] = Counter()
    for service in services:
        rows = await connection.fetch(f"SELECT topic, partition, next_offset FROM {service}.progress")
        places = {TopicPartition(row[0], row[1]): row[2] for row in rows}
        ends = await reader.end_offsets(list(places))
        waiting[service] = sum(ends[place] - at for place, at in places.items())
    return +waiting
