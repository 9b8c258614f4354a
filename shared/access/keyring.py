"""The cache of keys that every service checks requests against."""

import asyncio
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.access import keys
from shared.access.keys import Kind, StoredKey
from shared.db import Database
from shared.ops.health import NotReady
from shared.ops.logs import log

_log = log("access")

REFRESH_SECONDS = 2.0
"""Below the 5 s within which a revoked key must stop, with room for a slow read."""

_REREAD_SECONDS = 0.05
_AWAY_SECONDS = 1.0


class KeysUnavailable(Exception):
    """The key is not known and PostgreSQL cannot say whether it exists: 503, never 401."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was checked: it belongs to one store and reaches nothing of another."""

    key_id: str
    store: str
    kind: Kind
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        return self.kind == "secret" and (scope in self.scopes or "admin" in self.scopes)


class Keyring:
    """All keys in memory, read again every 2 s; keeps what it has while PostgreSQL is away."""

    def __init__(self, database: Database, pepper: bytes) -> None:
        self._database = database
        self._pepper = pepper
        self._keys: dict[str, StoredKey] = {}
        self._fresh_at = self._failed_at = float("-inf")
        self._reading = asyncio.Lock()
        self._used: dict[str, datetime] = {}
        self._nobody = keys.digest("nobody", pepper)

    async def refresh(self) -> None:
        """Read all keys, and write down when known ones were used; only the first must succeed."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with self._database.transaction() as session:
                self._keys = {key.key_id: key for key in await keys.all_keys(session)}
        except BaseException:
            self._failed_at = loop.time()
            raise
        self._fresh_at = started
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with self._database.transaction() as session:
                await keys.note_use(session, list(used.items()))
        except Exception as error:  # a disk that is full must not keep revoked keys alive
            self._used = used | self._used
            _log.warning("keys.use_not_noted", exc_info=error)

    async def keep_fresh(self) -> None:
        """Refresh for ever; a failure leaves what is known."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except Exception as error:  # PostgreSQL is away: the next round tries again
                _log.warning("keys.not_refreshed", exc_info=error)

    async def check(self) -> None:
        """Readiness: the keys were read once."""
        if self._fresh_at == float("-inf"):
            raise NotReady("keys were never read")

    def known(self, token: str) -> Key | None:
        """The key of a token, from memory alone; None when unknown, revoked or expired."""
        parsed = keys.parse(token)
        stored = self._keys.get(parsed[1]) if parsed else None
        given = keys.digest(parsed[2], self._pepper) if parsed else self._nobody
        if not hmac.compare_digest(given, stored.digest if stored else b"\0" * 32) or stored is None:
            return None
        now = datetime.now(UTC)
        if stored.revoked_at or (stored.expires_at and stored.expires_at <= now):
            return None
        if parsed and stored.kind != parsed[0]:
            return None
        self._used[stored.key_id] = now
        return Key(stored.key_id, stored.store, stored.kind, stored.scopes)

    async def find(self, token: str) -> Key | None:
        """As `known`, but asks PostgreSQL about a key that may be seconds old.

        Raises KeysUnavailable when PostgreSQL does not answer.
        """
        key = self.known(token)
        parsed = keys.parse(token)
        if key or parsed is None or parsed[1] in self._keys:
            return key
        asked = asyncio.get_running_loop().time()
        self._check_answers_since(asked - _AWAY_SECONDS)
        try:
            async with asyncio.timeout(2), self._reading:
                self._check_answers_since(asked)  # somebody else may have found out while we waited
                if self._fresh_at < asked:
                    # Whoever guesses keys makes us read 20 times a second at most.
                    await asyncio.sleep(max(0.0, self._fresh_at + _REREAD_SECONDS - asked))
                    await self.refresh()
        except Exception as error:
            raise KeysUnavailable from error
        return self.known(token)

    def _check_answers_since(self, moment: float) -> None:
        """Raises KeysUnavailable when the last read failed since: more of them would only hold slots."""
        if self._failed_at > max(moment, self._fresh_at):
            raise KeysUnavailable
