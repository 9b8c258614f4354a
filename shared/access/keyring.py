"""The cache of API keys, with which every service checks requests."""

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.access import keys
from shared.access.cache import Cache
from shared.access.keys import Kind, StoredKey
from shared.db import Database, Session

_AWAY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was checked. It belongs to one store and gives no access to another."""

    key_id: str
    store: str
    kind: Kind
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the key has the scope; a public key has none."""
        return self.kind == "secret" and (scope in self.scopes or "admin" in self.scopes)


class Keyring(Cache[str]):
    """All keys in memory; see `Cache`."""

    def __init__(self, database: Database, pepper: bytes) -> None:
        super().__init__(database, "keys")
        self._pepper = pepper
        self._keys: dict[str, StoredKey] = {}
        self._no_digest = keys.digest("nobody", pepper)

    async def _read(self, session: Session) -> None:
        self._keys = {key.key_id: key for key in await keys.all_keys(session)}

    async def _write_uses(self, session: Session, used: Sequence[tuple[str, datetime]]) -> None:
        await keys.note_use(session, used)

    def known(self, token: str) -> Key | None:
        """The key of a token, from memory alone. None when it is unknown, revoked or expired."""
        parsed = keys.parse(token)
        stored = self._keys.get(parsed[1]) if parsed else None
        digest = keys.digest(parsed[2], self._pepper) if parsed else self._no_digest
        if not hmac.compare_digest(digest, stored.digest if stored else b"\0" * 32) or stored is None:
            return None
        now = datetime.now(UTC)
        if stored.revoked_at or (stored.expires_at and stored.expires_at <= now):
            return None
        if parsed and stored.kind != parsed[0]:
            return None
        self._used[stored.key_id] = now
        return Key(stored.key_id, stored.store, stored.kind, stored.scopes)

    async def find(self, token: str) -> Key | None:
        """As `known`, but asks PostgreSQL for a key that may have been made seconds ago.

        Raises AccessUnavailable when PostgreSQL does not answer, or did not answer within the last second.
        """
        key = self.known(token)
        parsed = keys.parse(token)
        if key or parsed is None or parsed[1] in self._keys:
            return key
        self._check_answers_since(asyncio.get_running_loop().time() - _AWAY_SECONDS)
        await self._ask()
        return self.known(token)
