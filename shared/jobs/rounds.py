"""Work that the clock starts, round after round."""

import asyncio
import contextlib
import random
import time

from shared.ops import metrics
from shared.ops.logs import log

_log = log("ops")


class Rounds:
    """Rounds of work until `stop`, by the clock or when the bell rings. A round that fails is tried again.

    `name` is that of the job in metrics and logs. A round that takes long is followed by a longer pause:
    at most `busy_share` of the time is worked. `apart_seconds`: from the start of one round to the next when
    the bell rings, so that more comes together; a round that has more to do is followed at once.
    """

    def __init__(
        self, name: str, *, every_seconds: float, busy_share: float = 1.0, apart_seconds: float = 0.0
    ) -> None:
        self.name = name
        self._every = every_seconds
        self._busy_share = busy_share
        self._apart = apart_seconds
        self._bell = asyncio.Event()
        self._stopping = False

    def ring(self) -> None:
        """There may be something to do."""
        self._bell.set()

    async def stop(self) -> None:
        self._stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Until `stop`; a database that is away makes it wait, never end."""
        failures = 0
        while not self._stopping:
            self._bell.clear()
            started = time.monotonic()
            not_before = started + self._apart
            try:
                pause = await self.round()
                failures = 0
            except Exception as error:  # the next round tries again
                failures += 1
                pause = self.failed(failures)
                not_before = time.monotonic() + random.uniform(0.1, 0.2)
                _log.warning("job.failed", job=self.name, attempt=failures, exc_info=error)
            pause = max(pause, (time.monotonic() - started) * (1 / self._busy_share - 1))
            if pause and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._bell.wait()
                if not self._stopping:
                    await asyncio.sleep(not_before - time.monotonic())
        await self.end()

    async def round(self) -> float:
        """Do what there is to do; returns how many seconds to pause then, such as `self.pause()`."""
        raise NotImplementedError

    def failed(self, failures: int) -> float:
        """A round failed, the last of so many; returns how many seconds to pause."""
        return self.pause()

    async def end(self) -> None:
        """There is no next round."""

    def pause(self) -> float:
        """The usual one, in seconds; not the same in every replica."""
        return self._every * random.uniform(0.9, 1.1)

    def succeeded(self) -> None:
        """For the metrics: the job did what it is for."""
        metrics.JOB_LAST_SUCCESS.labels(self.name).set_to_current_time()


def backoff(failures: int) -> float:
    """A pause after so many failures, for what somebody waits for: 0.4 s, then twice as long, to 5 s."""
    return min(5.0, 0.2 * 2.0 ** min(failures, 5)) * random.uniform(0.8, 1.2)
