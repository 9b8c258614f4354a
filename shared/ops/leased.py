"""Rounds of work that one replica does at a time."""

import contextlib

from shared.db import Database, Lease
from shared.jobs.rounds import Rounds


class Owned(Rounds):
    """Rounds that only the owner of a lease does. `busy_share` and `apart_seconds`: see `Rounds`."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        *,
        every_seconds: float,
        busy_share: float = 1.0,
        apart_seconds: float = 0.0,
    ) -> None:
        super().__init__(
            lease.name, every_seconds=every_seconds, busy_share=busy_share, apart_seconds=apart_seconds
        )
        self._database = database
        self._lease = lease

    async def round(self) -> float:
        if not await self._lease.hold():
            self.idle()
            return self.pause()
        more = await self.work()
        self.succeeded()
        return 0.0 if more else self.pause()

    async def end(self) -> None:
        """Let the lease go, so that a successor need not wait."""
        self.idle()
        with contextlib.suppress(Exception):  # it runs out by itself
            await self._lease.release()

    async def work(self) -> bool | None:
        """One round; true when there is more to do at once."""
        raise NotImplementedError

    def idle(self) -> None:
        """Another replica does it now, or nobody."""


class Leased(Owned):
    """A job by the clock. What a round does must be harmless twice: a lease is a hint, not a lock."""

    def __init__(
        self, database: Database, schema: str, name: str, *, every_seconds: float, busy_share: float = 0.05
    ) -> None:
        # Kept from one round to the next, also when a pause is at its longest.
        lease = Lease(database, schema, name, ttl_seconds=3 * every_seconds + 10, grace_seconds=0)
        super().__init__(database, lease, every_seconds=every_seconds, busy_share=busy_share)

    def failed(self, failures: int) -> float:
        self.idle()
        return super().failed(failures)
