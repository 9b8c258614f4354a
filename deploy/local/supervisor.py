"""Start parts, start one again when it dies, stop all in reverse."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from deploy.local.part import Part

T = TypeVar("T")

WATCH_INTERVAL_SECONDS = 0.1


class StopRequested(Exception):
    """Somebody asked for the end while parts were still starting."""


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next start: doubles, and begins again after a stable while."""

    first_seconds: float = 0.2
    longest_seconds: float = 5.0
    stable_seconds: float = 30.0
    _next: float = 0.0

    def after(self, ran_seconds: float) -> float:
        """The wait after a run of that length."""
        if ran_seconds >= self.stable_seconds or self._next == 0:
            self._next = self.first_seconds
        wait, self._next = self._next, min(self._next * 2, self.longest_seconds)
        return wait


class Supervisor:
    """Parts in groups: a group starts at once when the one before is ready, and stops before it."""

    def __init__(
        self,
        *,
        say: Callable[[str], None],
        restarted: Callable[[], None] = lambda: None,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._say = say
        self._restarted = restarted
        self._backoff = backoff
        self._groups: list[Sequence[Part]] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._hurry = False

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the parts that run now."""
        parts = [part for group in self._groups for part in group]
        return {part.name: part.pid for part in parts if part.pid is not None}

    def handle_signals(self) -> None:
        """Stop on SIGINT, SIGTERM and SIGHUP; a second one kills what has not stopped."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self.request_stop)

    def request_stop(self) -> None:
        """Ask for the end. Asked twice, it kills."""
        if self._stopping.is_set() and not self._hurry:
            self._hurry = True
            self._say("Killing what has not stopped")
            for group in self._groups:
                for part in group:
                    if part.pid is not None:
                        part.kill()
        self._stopping.set()

    async def start(self, parts: Sequence[Part], *, ready_seconds: float) -> None:
        """Start the parts at once and wait until all are ready; from then on they are kept running.

        LocalStackError if one fails to start; StopRequested if the end was asked for meanwhile.
        """
        self._groups.append(parts)
        starts = (asyncio.to_thread(part.start) for part in parts)
        # All of them, also when one fails: a part must not appear after `stop` has gone by.
        for failure in await asyncio.gather(*starts, return_exceptions=True):
            if failure is not None:
                raise failure
        waits = (asyncio.to_thread(part.wait_ready, ready_seconds) for part in parts)
        await self.unless_stopped(asyncio.gather(*waits))
        self._watchers += [asyncio.create_task(self._keep(part)) for part in parts]

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """The result of the work; StopRequested at once if the end is asked for before it is done."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        raise StopRequested

    async def until_stopped(self) -> None:
        """Wait for `request_stop`."""
        await self._stopping.wait()

    async def stop(self) -> None:
        """Stop every group, the last first; bounded by the parts' own limits."""
        self._stopping.set()
        await asyncio.gather(*self._watchers)
        for group in reversed(self._groups):
            await asyncio.gather(*(asyncio.to_thread(part.stop) for part in group))

    async def _keep(self, part: Part) -> None:
        backoff, started = self._backoff(), time.monotonic()
        while await self._ended(part):
            wait = backoff.after(time.monotonic() - started)
            self._say(f"{part.name} ended ({_reason(part.exit_code)}), starts again in {wait:.1f} s")
            if await self._stops_within(wait):
                return
            started = time.monotonic()
            try:
                await asyncio.to_thread(part.start)
            except Exception as error:  # whatever it is, the next attempt is the answer
                self._say(f"{part.name} does not start: {error}")
            else:
                self._restarted()

    async def _ended(self, part: Part) -> bool:
        """True when the part's process is gone, False when the supervisor stops."""
        while part.pid is not None:
            if await self._stops_within(WATCH_INTERVAL_SECONDS):
                return False
        return not self._stopping.is_set()

    async def _stops_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True


def _reason(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"code {exit_code}"
