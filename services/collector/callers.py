"""Who is asking: the key, its store, and whether the page and the pace are allowed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from services.collector.rates import Bucket
from services.collector.settings import CollectorSettings
from shared.access import Key, Keyring, Scope
from shared.config import Store
from shared.http import Problem
from shared.http.auth import authenticate, check_store, forbidden

_REMEMBERED_SECONDS = 1.0
"""Together with the keyring's own 2 s below the 5 s within which a revoked key must stop."""
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that was checked, with what the door needs to know of its store."""

    key: Key
    store: str
    key_id: str
    public: bool
    may_write: bool
    """A secret key with the scope to write."""
    config: Store
    origins: frozenset[bytes]
    bucket: Bucket

    @classmethod
    def of(cls, key: Key, config: Store, bucket: Bucket) -> "Caller":
        return cls(
            key,
            key.store,
            key.key_id,
            public=key.kind == "public",
            may_write=key.may(Scope.RESPONSES_WRITE),
            config=config,
            origins=frozenset(origin.encode() for origin in config.allowed_origins),
            bucket=bucket,
        )


class Callers:
    """Remembers a checked header for a second: the check costs as much as reading the body."""

    def __init__(self, keyring: Keyring, stores: Mapping[str, Store], settings: CollectorSettings) -> None:
        self._keyring = keyring
        self._stores = stores
        self._rates = {True: settings.public_rate_limit_per_second, False: settings.rate_limit_per_second}
        self._buckets: dict[str, Bucket] = {}
        self._known: dict[bytes, Caller] = {}
        self._forget_at = 0.0

    async def find(self, authorization: bytes) -> Caller:
        """Raises Problem: 401, or 503 while keys cannot be checked; 429 when it asks too often."""
        return self.known(authorization) or await self._checked(authorization)

    def known(self, authorization: bytes) -> Caller | None:
        """As `find`, but only from memory: None for a header that was not checked lately."""
        now = time.monotonic()
        if now >= self._forget_at:
            self._known.clear()
            self._forget_at = now + _REMEMBERED_SECONDS
        caller = self._known.get(authorization)
        if caller is not None:
            caller.bucket.take(now)
        return caller

    async def _checked(self, authorization: bytes) -> Caller:
        key = await authenticate(self._keyring, authorization.decode("latin-1"))
        config = self._stores.get(key.store)
        if config is None:
            raise Problem(404, "not-found", "The store of this key is not configured here.")
        caller = Caller.of(key, config, self.bucket(key.key_id, public=key.kind == "public"))
        if len(self._known) < _MOST_REMEMBERED:
            self._known[authorization] = caller
        caller.bucket.take(time.monotonic())
        return caller

    async def find_server(self, authorization: str, store: str | None) -> Caller:
        """The caller, which holds a secret key that may write to this store. Raises Problem."""
        caller = await self.find(authorization.encode("latin-1"))
        must_be_secret(caller)
        check_store(caller.key, store)
        return caller

    async def find_admin(self, authorization: str, store: str | None) -> Caller:
        """The caller, which holds a secret key for what cannot be undone. Raises Problem."""
        caller = await self.find(authorization.encode("latin-1"))
        must_be_admin(caller)
        check_store(caller.key, store)
        return caller

    def bucket(self, key_id: str, *, public: bool) -> Bucket:
        """The one bucket of a key, from which its tokens draw too."""
        bucket = self._buckets.get(key_id)
        if bucket is None:
            bucket = self._buckets[key_id] = Bucket(self._rates[public])
        return bucket

    def config(self, store: str) -> Store | None:
        return self._stores.get(store)


def must_be_secret(caller: Caller) -> None:
    """Raises Problem 403 for a public key, and for a secret one without the scope to write."""
    if not caller.may_write:
        raise forbidden(Scope.RESPONSES_WRITE)


def must_be_admin(caller: Caller) -> None:
    """Raises Problem 403 unless it is a secret key with the scope `admin`: what it asks cannot be undone."""
    if not caller.key.may(Scope.ADMIN):
        raise forbidden(Scope.ADMIN)


def must_come_from(caller: Caller, origin: bytes | None) -> None:
    """Raises Problem 403 unless the page's origin is one of the store's, to the letter."""
    if origin not in caller.origins:
        raise Problem(403, "origin-not-allowed", "A public key works from the origins of its store only.")
