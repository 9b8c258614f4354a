"""The base of the two caches: of keys, and of people with their sessions."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar

from shared.db import Database, Session
from shared.ops.health import NotReady
from shared.ops.logs import log

_log = log("access")

REFRESH_SECONDS = 2.0
"""Less than the 5 s within which a revoked key must stop working, with room for a slow read."""

_REREAD_SECONDS = 0.05

Id = TypeVar("Id", str, bytes)
"""The id under which a use is noted."""


class AccessUnavailable(Exception):
    """The key or session is not in memory, and PostgreSQL does not answer: 503, never 401."""


class Cache(ABC, Generic[Id]):
    """Holds everything in memory and reads it again every 2 s; keeps it while PostgreSQL is away."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._fresh_at = self._failed_at = float("-inf")
        self._reading = asyncio.Lock()
        self._used: dict[Id, datetime] = {}

    @abstractmethod
    async def _read(self, session: Session) -> None:
        """Read everything and replace what is in memory; after an error nothing is replaced."""

    @abstractmethod
    async def _write_uses(self, session: Session, used: Sequence[tuple[Id, datetime]]) -> None:
        """Store when each key or session was last used."""

    async def refresh(self) -> None:
        """Read everything that was committed before the call, then store the uses.

        Raises the error of the read; a failure to store the uses is only logged.
        """
        await self._read_since(asyncio.get_running_loop().time())
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with self._database.transaction() as session:
                await self._write_uses(session, list(used.items()))
        except Exception as error:  # a full disk must not keep revoked keys alive
            self._used = used | self._used
            _log.warning(f"{self._name}.use_not_noted", exc_info=error)

    async def keep_fresh(self) -> None:
        """Refresh for ever. After a failure the memory stays as it is."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except Exception as error:  # PostgreSQL is away: the next round tries again
                _log.warning(f"{self._name}.not_refreshed", exc_info=error)

    @property
    def stale(self) -> bool:
        """Whether nothing was read yet, or reading failed since it last succeeded: the unknown may exist."""
        return self._fresh_at == float("-inf") or self._failed_at > self._fresh_at

    async def check(self) -> None:
        """Readiness. Raises NotReady until everything was read once."""
        if self._fresh_at == float("-inf"):
            raise NotReady(f"{self._name} were never read")

    async def _ask(self) -> None:
        """Read again, for a key or session that may be newer than the last read. Raises AccessUnavailable."""
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(2):
                # A client that invents ids makes us read 20 times a second at most.
                await self._read_since(clock(), after_seconds=_REREAD_SECONDS)
        except TimeoutError as error:  # of our read, or of one that another request had begun
            self._failed_at = clock()
            raise AccessUnavailable from error
        except Exception as error:
            raise AccessUnavailable from error

    async def _read_since(self, moment: float, *, after_seconds: float = 0.0) -> None:
        """Read all that was committed before `moment`; one read serves all requests that wait for it.

        `after_seconds`: the least time since the read before.
        """
        clock = asyncio.get_running_loop().time
        async with self._reading:
            self._check_answers_since(moment)  # the read of another request may have failed while we waited
            if self._fresh_at >= moment:
                return
            await asyncio.sleep(max(0.0, self._fresh_at + after_seconds - clock()))
            started = clock()
            try:
                async with self._database.transaction() as session:
                    await self._read(session)
            except Exception:
                self._failed_at = clock()
                raise
            self._fresh_at = started

    def _check_answers_since(self, moment: float) -> None:
        """Raises AccessUnavailable when a read has failed since: another would only make requests wait."""
        if self._failed_at > max(moment, self._fresh_at):
            raise AccessUnavailable
