"""Start the collector as a process of its own, send it requests, and read what it wrote to Kafka."""

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from shared.access import Scope, keys
from shared.config.secrets import Secrets
from shared.db import Database

ROOT = Path(__file__).parents[3]
SECRET = "a root secret that is long enough for the tests"
STORE, OTHER_STORE = "shop", "elsewhere"
ORIGIN, OTHER_ORIGIN = "https://shop.example", "https://elsewhere.example"
CONFIG = f"""
stores:
  {STORE}:
    name: Shop
    currency: EUR
    allowed_origins: ["{ORIGIN}"]
    segments: {{country: {{values: [NL, DE]}}, product_line: {{}}}}
  {OTHER_STORE}:
    name: Elsewhere
    allowed_origins: ["{OTHER_ORIGIN}"]
"""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One keep-alive connection, so that a test sees whether it stays open after a reply."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """`content_type="..."` is the header Content-Type."""
        self._http.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = self._http.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, named, answer.read())

    def close(self) -> None:
        self._http.close()


@dataclass
class Collector:
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    secret: str
    public: str

    def connect(self) -> Connection:
        return Connection(self.port)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request on a connection of its own, with the secret key unless `headers` name another."""
        headers = {"authorization": f"Bearer {self.secret}", "content_type": "application/json"} | headers
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        connection = self.connect()
        try:
            return connection.send(method, path, raw, **{k: v for k, v in headers.items() if v})
        finally:
            connection.close()

    def post(self, body: Any, **headers: str) -> Reply:
        return self.request("POST", "/v1/responses", body, **headers)

    def from_page(self, body: Any, **headers: str) -> Reply:
        return self.post(body, **({"authorization": f"Bearer {self.public}", "origin": ORIGIN} | headers))

    def resident_bytes(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def metrics(self) -> str:
        return self.request("GET", "/metrics").body.decode()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(15)


def start(
    folder: Path,
    bootstrap: str,
    database_url: str,
    tokens: tuple[str, str],
    of_all_services: Mapping[str, str] | None = None,
    **settings: str,
) -> Collector:
    """A collector that is ready. `settings` are its environment, without the prefix."""
    config = folder / "closeloop.yaml"
    config.write_text(CONFIG)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    log = folder / f"collector-{port}.log"
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "CLOSELOOP_CONFIG": str(config),
        "CLOSELOOP_SECRET": SECRET,
        "COLLECTOR_PORT": str(port),
        **(of_all_services or {}),
        **{f"COLLECTOR_{name.upper()}": value for name, value in settings.items()},
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.collector", "serve"],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    collector = Collector(process, port, log, *tokens)
    until = time.monotonic() + 60
    while not _is_ready(collector):
        assert process.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < until, log.read_text()[-4000:]
        time.sleep(0.1)
    return collector


def _is_ready(collector: Collector) -> bool:
    try:
        return collector.request("GET", "/readyz").status == 200
    except OSError:
        return False


async def make_key(database_url: str, kind: keys.Kind, *scopes: Scope, store: str = STORE) -> str:
    database = Database(database_url, pool_size=1)
    try:
        async with database.transaction() as session:
            return await keys.create(
                session, store=store, kind=kind, scopes=scopes, pepper=Secrets(SECRET).pepper
            )
    finally:
        await database.close()


async def revoke_key(database_url: str, token: str) -> None:
    parsed = keys.parse(token)
    assert parsed is not None
    database = Database(database_url, pool_size=1)
    try:
        async with database.transaction() as session:
            assert await keys.revoke(session, parsed[1])
    finally:
        await database.close()


class Topic:
    """Everything that was written to one topic, read by a plain consumer without our code."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._consumer = AIOKafkaConsumer(name, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
        self._seen: list[ConsumerRecord] = []

    async def open(self) -> None:
        await self._consumer.start()
        assert self._consumer.assignment()

    async def close(self) -> None:
        await self._consumer.stop()

    async def about(self, subject: str, *, count: int = 1, within_seconds: float = 15) -> list["Written"]:
        """The records whose body names this id, as soon as there are `count`."""
        until = time.monotonic() + within_seconds
        while True:
            written = [Written(r) for r in self._seen if subject in json.loads(r.value).values()]
            if len(written) >= count or time.monotonic() > until:
                assert len(written) >= count, f"{len(written)} of {count} records about {subject}"
                return written
            for records in (await self._consumer.getmany(timeout_ms=300)).values():
                self._seen.extend(records)

    async def holds_nothing_about(self, subject: str) -> bool:
        """After everything that is in the topic now has been read."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        async with asyncio.timeout(15):
            while any([await self._consumer.position(part) < end for part, end in ends.items()]):
                for records in (await self._consumer.getmany(timeout_ms=300)).values():
                    self._seen.extend(records)
        return not any(subject.encode() in record.value for record in self._seen)


class Written:
    """A Kafka record: its headers by name, its value as JSON."""

    def __init__(self, record: ConsumerRecord) -> None:
        self.key: bytes = record.key
        self.partition: int = record.partition
        self.headers = {name: value.decode() for name, value in record.headers}
        self.body: dict[str, Any] = json.loads(record.value)
