"""Rounds of work that one replica does at a time."""

import contextlib

from shared.db import Database, Lease
from shared.ops.rounds import Rounds


class Leased(Rounds):
    """A job under a lease. What a round does must be harmless twice: a lease is a hint, not a lock."""

    def __init__(
        self, database: Database, schema: str, name: str, *, every_seconds: float, busy_share: float = 0.05
    ) -> None:
        super().__init__(name, every_seconds=every_seconds, busy_share=busy_share)
        self._database = database
        # Kept from one round to the next, also when a pause is at its longest.
        self._lease = Lease(database, schema, name, ttl_seconds=3 * every_seconds + 10, grace_seconds=0)

    async def round(self) -> float:
        if not await self._lease.hold():
            self.idle()
            return self.pause()
        more = await self.work()
        self.succeeded()
        return 0.0 if more else self.pause()

    def failed(self, failures: int) -> float:
        self.idle()
        return super().failed(failures)

    async def end(self) -> None:
        self.idle()
        with contextlib.suppress(Exception):  # it runs out by itself
            await self._lease.release()

    async def work(self) -> bool | None:
        """One round; true when there is more to do at once."""
        raise NotImplementedError

    def idle(self) -> None:
        """This replica does not do it now, or could not."""
