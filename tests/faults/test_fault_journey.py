"""Answers come in while everything is killed; at the end the product says what the ledger says."""

import asyncio
import json
import os
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.eventually import eventually
from tests.e2e.receiver import Alert, Receiver
from tests.faults import garbage
from tests.faults.audit import RESPONSES, Auditor, Findings
from tests.faults.books import Books
from tests.faults.client import Client
from tests.faults.cluster import CONSUMERS, Cluster
from tests.faults.conftest import ROUND_SECONDS
from tests.faults.ledger import Ledger
from tests.faults.nemesis import Nemesis
from tests.faults.traffic import Traffic

RATE = float(os.environ.get("FAULTS_RATE") or 60)
SETTLE_SECONDS = 120
FIRST_STEPS = 100
SHOWN = 10
"""So many differences are printed when it fails, with the history of the ids in them."""

SUBMITTED = b"response.submitted.v1"


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {text}", flush=True)


class Moody:
    """A receiver's answer to each alert: now and then it fails. `taken`: those that it took."""

    def __init__(self, seed: str) -> None:
        self.taken: list[Alert] = []
        self._rng = random.Random(f"receiver/{seed}")

    def __call__(self, alert: Alert) -> int:
        if self._rng.random() < 0.04:
            return 500
        self.taken.append(alert)
        return 204


@dataclass(frozen=True)
class Round:
    """What one seed did and what was found afterwards."""

    seed: str
    nemesis: Nemesis
    findings: Findings
    histories: list[str]
    settled_seconds: float
    fenced: int
    unasked: int
    put_off: int

    @property
    def line(self) -> str:
        done, found = self.nemesis.done, self.findings
        return (
            f"faults: seed {self.seed}, kills {done['kill']}, pauses {done['pause']}, "
            f"restarts {done['restart']}, accepted {found.accepted}, counted {found.counted}, "
            f"lost {len(found.lost)}, doubled {len(found.doubled)}, wrong {len(found.wrong)}, "
            f"alerts {found.alerts} and {found.repeated_alerts} repeats, "
            f"batches fenced off {self.fenced}, told to retry {self.put_off}, ended unasked {self.unasked}, "
            f"settled in {self.settled_seconds:.0f} s"
        )

    @property
    def report(self) -> str:
        """Enough to run it again and to see where it went wrong."""
        found = self.findings
        parts = [self.line, f"Again: FAULTS_SEED={self.seed} .venv/bin/python -m pytest tests/faults -s"]
        for name, differences in (("lost", found.lost), ("doubled", found.doubled), ("wrong", found.wrong)):
            parts += [f"{name}: {difference}" for difference in differences[:SHOWN]]
            parts += [f"  and {len(differences) - SHOWN} more"] if len(differences) > SHOWN else []
        return "\n".join([*parts, *self.histories])


class Journey:
    """A cluster with its client's ledger, and what the receiver of its alerts took."""

    def __init__(self, cluster: Cluster, alerts: list[Alert], ledger: Ledger, key: str) -> None:
        self.cluster = cluster
        self.alerts = alerts
        self.ledger = ledger
        self.began = datetime.now(UTC)
        self._key = key
        self.auditor = Auditor(
            urls={name: replica.url for name, replica in cluster.apis.items()},
            key=key,
            database_url=cluster.stack.postgres.url,
            bootstrap=cluster.stack.kafka.bootstrap,
        )

    async def first_answers(self, seed: str) -> None:
        """They are in the log before any consumer runs; then Kafka is told that all was read already."""
        async with self._client(f"{seed}-first") as client:
            for _ in range(FIRST_STEPS):
                for step in client.traffic.next():
                    client.start(step)
            await client.drained(60)
        await self.auditor.lie_to_kafka(CONSUMERS)

    async def round(self, seed: str, seconds: float, evil: type[Nemesis] = Nemesis) -> Round:
        nemesis = evil(self.cluster, seed, say)
        async with self._client(seed) as client:
            posting = asyncio.create_task(client.run(RATE))
            throwing = asyncio.create_task(garbage.throw(self.cluster.stack.kafka.bootstrap, seed, seconds))
            await nemesis.rage(seconds)
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)
            say("Healed; waiting until everything is answered, applied and sent")
            healed = time.monotonic()
            await client.drained(SETTLE_SECONDS)
            await throwing
            await eventually(self.cluster.all_ready, within_seconds=SETTLE_SECONDS)
            await self._settled()
            settled = time.monotonic()
            say("Settled; comparing with the ledger")
            findings, histories = await self._compare()
            findings.wrong += [f"refused: {text}" for text in client.refused]
        findings.wrong += [f"{name} did not end in time" for name in nemesis.ungraceful]
        fenced = self.cluster.logged("consumer.partition_moved")
        unasked, took = self.cluster.unasked, settled - healed
        return Round(seed, nemesis, findings, histories, took, fenced, unasked, client.put_off)

    def _client(self, seed: str) -> Client:
        urls = [replica.url for replica in self.cluster.collectors]
        return Client(urls, self._key, self.ledger, Traffic(seed, self.began))

    async def _settled(self) -> None:
        try:
            await eventually(self.auditor.settled, within_seconds=SETTLE_SECONDS)
        except AssertionError:
            lag = +await self.auditor.lag()
            raise AssertionError(f"not settled; still to be applied: {dict(lag)}") from None

    async def _compare(self) -> tuple[Findings, list[str]]:
        log = [r for r in await self.auditor.log_of(RESPONSES) if r.value != garbage.MARK]
        submitted = {
            json.loads(record.value)["response_id"]
            for record in log
            if dict(record.headers)["ce_type"] == SUBMITTED
        }
        books = Books.read(self.ledger.path, self.began, submitted)
        findings = await self.auditor.compare(books, self.alerts, await garbage.places(self.auditor))
        findings.lost += [f"{name}: not even in the log" for name in books.acknowledged - submitted]
        if findings.clean:
            await self.cluster.command("verify")
        return findings, [] if findings.clean else _histories(findings, books, log)


def _histories(findings: Findings, books: Books, log: list[Any]) -> list[str]:
    """All that is known of the first ids that the differences name."""
    found: list[str] = []
    named = re.findall(r"[ao]-[\w-]+", " ".join([*findings.lost, *findings.doubled, *findings.wrong]))
    for name in list(dict.fromkeys(named))[:SHOWN]:
        found.append(f"{name}:")
        found += [f"  ledger {step}" for step in books.history.get(name, [])]
        for record in log:
            if f'"{name}"'.encode() in record.value:
                headers = dict(record.headers)
                kind, ce_id = headers["ce_type"].decode(), headers["ce_id"].decode()
                found.append(f"  log    {record.partition}@{record.offset} {kind} {ce_id}")
    return found


@asynccontextmanager
async def running(home: Path, seed: str, stack: Any = None, copies: int = 1) -> AsyncIterator[Journey]:
    """A cluster that is ready, with some answers in it. `stack`: its engines, by default one of each."""
    moody = Moody(seed)
    async with Receiver(answer=moody) as receiver:
        cluster = Cluster(home, alerts_url=receiver.url("/alerts"), say=say, stack=stack, copies=copies)
        ledger = Ledger(home / "ledger.jsonl")
        keeping: asyncio.Task[None] | None = None
        with cluster.engines():
            say("Kafka and PostgreSQL run")
            try:
                journey = Journey(cluster, moody.taken, ledger, await cluster.prepare())
                await journey.auditor.watch_offsets()
                keeping = asyncio.create_task(cluster.keep())
                await cluster.start(cluster.collectors)
                await journey.first_answers(seed)
                await cluster.start(cluster.consumers)
                await cluster.let_alerts_go()
                say(f"Ready: {len(cluster.replicas)} processes")
                yield journey
            finally:
                if keeping is not None:
                    keeping.cancel()
                    await asyncio.gather(keeping, return_exceptions=True)
                ledger.close()


@pytest.mark.faults
class TestEverythingIsKilled:
    async def test_and_nothing_is_lost_and_nothing_is_doubled(
        self, tmp_path: Path, seconds: float, seed: int, record_property: Callable[[str, object], None]
    ) -> None:
        until = time.monotonic() + seconds
        async with running(tmp_path, str(seed)) as journey:
            while True:
                say(f"Seed {seed}, {RATE:.0f} requests a second")
                done = await journey.round(str(seed), min(seconds, ROUND_SECONDS))
                record_property("summary", done.line)
                say(done.line)
                if not done.findings.clean:
                    pytest.fail(done.report, pytrace=False)
                seed += 1
                if time.monotonic() >= until:
                    return
