"""Kills, pauses and restarts everything, in an order that the seed decides."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.cluster import Cluster, Replica

CONSUMERS = ("scorer", "segmenter", "notifier")

BEYOND_THE_SESSION = (17.0, 19.0)
"""Longer than a member may be silent (12 s) and its heir needs to notice: it comes back as a zombie."""

LONGEST_RECOVERY_SECONDS = 90


@dataclass(frozen=True)
class Fault:
    """What happens to whom. `victim` is an engine or a service; `seconds` is for how long."""

    what: str
    victim: str
    seconds: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.what} {self.victim}"


ENGINE_FAULTS = (
    Fault("kill", "kafka", (0.0, 2.0)),
    Fault("pause", "kafka", (3.0, 6.0)),
    Fault("restart", "kafka", (0.0, 1.0)),
    Fault("kill", "postgres", (0.0, 2.0)),
    Fault("pause", "postgres", (3.0, 6.0)),
    Fault("restart", "postgres", (0.0, 1.0)),
)
SERVICE_FAULTS = tuple(
    Fault(what, victim, seconds)
    for victim in ("collector", *CONSUMERS)
    for what, seconds in (
        ("kill", (0.0, 2.0)),
        ("kill", (0.0, 2.0)),
        ("restart", (0.0, 1.0)),
        ("pause", (3.0, 8.0)),
    )
)


class Nemesis:
    """Two lanes at once: one fault of an engine after the other, and faults of services that overlap.

    Zombies are made in the lane of the engines, because a group hands partitions on only while those run.
    """

    def __init__(self, cluster: Cluster, seed: str, say: Callable[[str], None]) -> None:
        self.done: Counter[str] = Counter()
        self.ungraceful: list[str] = []
        """Replicas that did not end within their grace though they were asked to."""
        self._cluster = cluster
        self._seed = seed
        self._say = say
        self._until = 0.0
        self._engines_run = asyncio.Event()
        self._busy: set[str] = set()
        self._left_alone: set[str] = set()

    async def rage(self, seconds: float) -> None:
        """So long, and then until everything that was paused or killed runs again.

        The time that an engine takes to get up again does not count, and nothing else is begun meanwhile: a
        slow machine gets as many faults as a fast one.
        """
        self._until = time.monotonic() + seconds
        self._engines_run.set()
        await asyncio.gather(self._engines(), self._services())

    async def _engines(self) -> None:
        rng = random.Random(f"engines/{self._seed}")
        while True:
            faults: list[Fault | None] = list(rng.sample(ENGINE_FAULTS, len(ENGINE_FAULTS)))
            faults.insert(rng.randint(0, 2), None)
            for fault in faults:
                wait, lasts = (
                    rng.uniform(0.5, 3.0),
                    rng.uniform(*(fault.seconds if fault else BEYOND_THE_SESSION)),
                )
                if time.monotonic() + wait + lasts > self._until:
                    return
                await asyncio.sleep(wait)
                if fault:
                    await self._strike_engine(fault, lasts)
                else:
                    await self._make_zombies([rng.choice((0, 1)) for _ in CONSUMERS], lasts)

    async def _make_zombies(self, numbers: list[int], seconds: float) -> None:
        """One of each group is frozen until the other has everything, which is left alone meanwhile."""
        frozen = [self._of(service)[number] for service, number in zip(CONSUMERS, numbers, strict=True)]
        self._left_alone = {replica.name for service in CONSUMERS for replica in self._of(service)}
        while self._busy & self._left_alone:
            await asyncio.sleep(0.1)
        fault = Fault("pause", "consumers", BEYOND_THE_SESSION)
        await asyncio.gather(*(self._strike_service(fault, replica, seconds) for replica in frozen))
        self._left_alone = set()

    async def _services(self) -> None:
        rng = random.Random(f"services/{self._seed}")
        strikes: set[asyncio.Task[None]] = set()
        while True:
            for fault in rng.sample(SERVICE_FAULTS, len(SERVICE_FAULTS)):
                wait, lasts, number = rng.uniform(0.5, 3.0), rng.uniform(*fault.seconds), rng.choice((0, 1))
                if time.monotonic() + wait > self._until:
                    await asyncio.gather(*strikes)
                    return
                await asyncio.sleep(wait)
                await self._engines_run.wait()
                replica = self._of(fault.victim)[number]
                if replica.name not in self._busy | self._left_alone:
                    self._busy.add(replica.name)
                    strike = asyncio.create_task(self._strike_service(fault, replica, lasts))
                    strikes.add(strike)
                    strike.add_done_callback(lambda _, name=replica.name: self._busy.discard(name))

    def _of(self, service: str) -> list[Replica]:
        return [replica for replica in self._cluster.replicas if replica.service == service]

    async def _strike_engine(self, fault: Fault, seconds: float) -> None:
        engine = self._cluster.stack.kafka if fault.victim == "kafka" else self._cluster.stack.postgres
        verbs: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "kill": (engine.kill, engine.start),
            "restart": (engine.stop, engine.start),
            "pause": (engine.pause, engine.resume),
        }
        await self._strike(fault, fault.victim, verbs[fault.what], seconds)
        healed = time.monotonic()
        self._engines_run.clear()
        await asyncio.to_thread(engine.wait_ready, LONGEST_RECOVERY_SECONDS)
        self._engines_run.set()
        took = time.monotonic() - healed
        self._until += took
        self._say(f"{fault.victim} is ready again after {took:.1f} s")

    async def _strike_service(self, fault: Fault, replica: Replica, seconds: float) -> None:
        def stop() -> None:
            if not replica.stop():
                self.ungraceful.append(replica.name)

        verbs: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "kill": (replica.kill, replica.start),
            "restart": (stop, replica.start),
            "pause": (replica.pause, replica.resume),
        }
        await self._strike(fault, replica.name, verbs[fault.what], seconds)

    async def _strike(
        self, fault: Fault, name: str, verbs: tuple[Callable[[], None], Callable[[], None]], seconds: float
    ) -> None:
        """Hurt, wait, heal; the healing happens whatever comes between."""
        self.done[fault.what] += 1
        self._say(f"{fault.what} {name} for {seconds:.1f} s")
        hurt, heal = verbs
        try:
            await asyncio.to_thread(hurt)
            await asyncio.sleep(seconds)
        finally:
            await _despite_cancelling(asyncio.to_thread(heal))


async def _despite_cancelling(work: Awaitable[None]) -> None:
    await asyncio.shield(work)
