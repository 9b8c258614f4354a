"""Three brokers, every partition on all, two of which have to acknowledge; and how they are killed."""

import asyncio
import random
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.kafka import KafkaNode, cluster
from deploy.local.postgres import PostgresServer
from tests.e2e.eventually import eventually
from tests.faults.nemesis import LONGEST_RECOVERY_SECONDS, Fault, Nemesis

COPIES = 3
START_SECONDS = 120
ONE_DOWN = Fault("kill", "broker", (4.0, 9.0))
TWO_DOWN = Fault("kill", "two brokers", (5.0, 8.0))
ONE_FROZEN = Fault("pause", "broker", (5.0, 9.0))


class Brokers:
    """The cluster where others have one node."""

    def __init__(self, home: Path) -> None:
        self.nodes = cluster(home, nodes=COPIES)

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    async def all_in_sync(self) -> bool:
        """Every partition has a leader, and all its copies are in sync."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5000)
        try:
            await admin.start()
            topics = await admin.describe_topics()
        except (KafkaError, TimeoutError):
            return False
        finally:
            await admin.close()
        partitions = [partition for topic in topics for partition in topic["partitions"]]
        return all(p["leader"] >= 0 and len(p["isr"]) == COPIES for p in partitions)


class ReplicatedStack:
    """Three brokers and a PostgreSQL, as long as the block."""

    def __init__(self, home: Path) -> None:
        self.kafka = Brokers(home / "kafka")
        self.postgres = PostgresServer(home / "postgres", log=home / "postgres.log")

    def __enter__(self) -> Self:
        parts = (*self.kafka.nodes, self.postgres)
        with ThreadPoolExecutor(len(parts)) as pool:
            # A controller is ready when there is a quorum of them, so all have to be under way first.
            list(pool.map(lambda part: part.start(), parts))
            list(pool.map(lambda part: part.wait_ready(START_SECONDS), parts))
        return self

    def __exit__(self, *_: object) -> None:
        for part in (*self.kafka.nodes, self.postgres):
            part.kill()


class BrokerNemesis(Nemesis):
    """One broker after the other dies and comes back; then two at once; then one is only frozen.

    Services die meanwhile as always. Whoever came back is in sync before the next one goes.
    """

    async def _engines(self) -> None:
        kafka: Brokers = self._cluster.stack.kafka
        rng = random.Random(f"brokers/{self._seed}")
        while True:
            first, second, third = rng.sample(kafka.nodes, COPIES)
            for fault, victims in (
                (ONE_DOWN, (first,)),
                (ONE_DOWN, (second,)),
                (TWO_DOWN, (first, third)),
                (ONE_FROZEN, (second,)),
            ):
                wait, lasts = rng.uniform(1.0, 3.0), rng.uniform(*fault.seconds)
                if time.monotonic() + wait + lasts > self._until:
                    return
                await asyncio.sleep(wait)
                await self._strike_brokers(kafka, fault, victims, lasts)

    async def _strike_brokers(
        self, kafka: Brokers, fault: Fault, victims: Iterable[KafkaNode], seconds: float
    ) -> None:
        nodes = list(victims)
        paused = fault.what == "pause"

        def hurt() -> None:
            for node in nodes:
                (node.pause if paused else node.kill)()

        def heal() -> None:
            for node in nodes:
                (node.resume if paused else node.start)()

        name = " and ".join(f"broker {node.node_id}" for node in nodes)
        await self._strike(fault, name, (hurt, heal), seconds)
        healed = time.monotonic()
        self._engines_run.clear()
        for node in nodes:
            await asyncio.to_thread(node.wait_ready, LONGEST_RECOVERY_SECONDS)
        await eventually(kafka.all_in_sync, within_seconds=LONGEST_RECOVERY_SECONDS)
        self._engines_run.set()
        took = time.monotonic() - healed
        self._until += took
        self._say(f"{name} in sync again after {took:.1f} s")
