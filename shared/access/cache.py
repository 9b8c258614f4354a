"""What the caches of keys and of people have in common."""

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
"""Below the 5 s within which what was revoked must stop, with room for a slow read."""

_REREAD_SECONDS = 0.05

Id = TypeVar("Id", str, bytes)
"""What a use is noted by."""


class AccessUnavailable(Exception):
    """Who asks is not known, and PostgreSQL cannot say whether they exist: 503, never 401."""


class Cache(ABC, Generic[Id]):
    """Everything in memory, read again every 2 s; keeps what it has while PostgreSQL is away."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._fresh_at = self._failed_at = float("-inf")
        self._reading = asyncio.Lock()
        self._used: dict[Id, datetime] = {}

    @abstractmethod
    async def _read(self, session: Session) -> None:
        """Replace what is in memory, all of it or nothing."""

    @abstractmethod
    async def _write_uses(self, session: Session, used: Sequence[tuple[Id, datetime]]) -> None:
        """Write down when what is known was last used."""

    async def refresh(self) -> None:
        """Read everything, and write down what was used; only the first must succeed.

        What was committed before the call is seen.
        """
        await self._read_since(asyncio.get_running_loop().time())
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with self._database.transaction() as session:
                await self._write_uses(session, list(used.items()))
        except Exception as error:  # a disk that is full must not keep alive what was revoked
            self._used = used | self._used
            _log.warning(f"{self._name}.use_not_noted", exc_info=error)

    async def keep_fresh(self) -> None:
        """Refresh for ever; a failure leaves what is known."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except Exception as error:  # PostgreSQL is away: the next round tries again
                _log.warning(f"{self._name}.not_refreshed", exc_info=error)

    async def check(self) -> None:
        """Readiness: everything was read once."""
        if self._fresh_at == float("-inf"):
            raise NotReady(f"{self._name} were never read")

    async def _ask(self) -> None:
        """Read again for what may be seconds old. Raises AccessUnavailable without an answer."""
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(2):
                # Whoever makes up names makes us read 20 times a second at most.
                await self._read_since(clock(), after_seconds=_REREAD_SECONDS)
        except TimeoutError as error:  # of our read, or of another's that we waited for
            self._failed_at = clock()
            raise AccessUnavailable from error
        except Exception as error:
            raise AccessUnavailable from error

    async def _read_since(self, asked: float, *, after_seconds: float = 0.0) -> None:
        """Know all that was committed before `asked`: one read serves everybody who waits for it.

        `after_seconds`: so long after the read before.
        """
        clock = asyncio.get_running_loop().time
        async with self._reading:
            self._check_answers_since(asked)  # somebody else may have found out while we waited
            if self._fresh_at >= asked:
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
        """Raises AccessUnavailable when the last read failed since: more of them would only hold slots."""
        if self._failed_at > max(moment, self._fresh_at):
            raise AccessUnavailable
