"""Liveness (do our loops still turn) and readiness (which part is not ready)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from shared.ops import metrics

Check = Callable[[], Awaitable[None]]
"""Returns when the part is ready; raises with a sentence when it is not."""

PARTS = ("boot", "consumer", "kafka", "keys", "logs", "people", "postgres", "service")
"""What processes of the product report in their readiness; not every process has every part."""

_LOOP_STALL_SECONDS = 30


class Health:
    """Named checks. They run on a timer, so that a probe never waits for a slow dependency."""

    def __init__(self, checks: dict[str, Check]) -> None:
        self._checks = checks
        self._clocks: dict[str, Callable[[], float]] = {}
        self._tolerated: set[str] = set()
        self._results: dict[str, str] = dict.fromkeys(checks, "not checked yet")
        self._stopping = False
        self._turned = time.monotonic()

    def add(self, name: str, check: Check, clock: Callable[[], float]) -> None:
        """Add a part with a loop of its own: `clock` returns the seconds since it last turned (liveness)."""
        self._checks[name] = check
        self._results[name] = "not checked yet"
        self._clocks[name] = clock

    def require(self, name: str, check: Check) -> None:
        """Add a part that must be ready for the process to be ready."""
        self._checks[name] = check
        self._results[name] = "not checked yet"

    def tolerate(self, name: str) -> None:
        """Show this part in the readiness, but be ready without it."""
        self._tolerated.add(name)

    async def watch(self, interval_seconds: float = 1.0) -> None:
        """Run the checks for ever, and measure how late the event loop is."""
        while True:
            await asyncio.gather(*(self._run(name, check) for name, check in self._checks.items()))
            before = time.monotonic()
            await asyncio.sleep(interval_seconds)
            self._turned = time.monotonic()
            metrics.EVENT_LOOP_LAG.observe(max(0.0, self._turned - before - interval_seconds))

    async def _run(self, name: str, check: Check) -> None:
        try:
            async with asyncio.timeout(3):
                await check()
            self._results[name] = "ok"
        except Exception as error:  # whatever is wrong with the part, it is not ready
            self._results[name] = str(error) if isinstance(error, NotReady) else type(error).__name__
        metrics.DEPENDENCY_UP.labels(name).set(self._results[name] == "ok")

    def stopping(self) -> None:
        """Be not ready from now on, so that the load balancer sends no more requests."""
        self._stopping = True

    def ready(self, without: Collection[str] = ()) -> tuple[bool, dict[str, str]]:
        """Whether the process is ready, and the state of each part.

        `without`: parts that may be not ready for this caller, beside those that the service tolerates.
        """
        parts = dict(self._results)
        if self._stopping:
            parts["service"] = "stopping"
        return all(
            state == "ok" for name, state in parts.items() if name not in {*self._tolerated, *without}
        ), parts

    def alive(self) -> tuple[bool, dict[str, str]]:
        """Whether all loops turn, and those that do not. False only when a restart would help."""
        late = {
            name: f"no turn for {clock():.0f} s"
            for name, clock in self._clocks.items()
            if clock() > _LOOP_STALL_SECONDS * 2
        }
        return not late, late or {"loop": "ok"}

    async def die_when_stuck(self) -> None:
        """Raise Stuck when a loop no longer turns: the process ends and a supervisor starts a fresh one.

        aiokafka #983 and #1154 are such loops.
        """
        while True:
            await asyncio.sleep(5)
            alive, late = self.alive()
            if not alive:
                raise Stuck(", ".join(f"{name}: {text}" for name, text in late.items()))


class NotReady(Exception):
    """Raised by a check; its text is shown to operators."""


class Stuck(RuntimeError):
    """A loop of this process stopped turning."""


async def cancel_and_wait(*tasks: "asyncio.Future[Any]", within_seconds: float = 2.0) -> list[BaseException]:
    """Cancel the tasks and wait for them, at most so long; returns the errors of those that had failed."""
    for task in tasks:
        task.cancel()
    finished = (await asyncio.wait(tasks, timeout=within_seconds))[0] if tasks else set()
    return [error for task in finished if not task.cancelled() and (error := task.exception())]
