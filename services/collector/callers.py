"""Who sends a request: the key, its store, and what the key may do, from where and how often."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from services.collector.rates import TokenBucket
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
    """A key that was checked, with its store's settings and its rate limit."""

    key: Key
    store: str
    key_id: str
    public: bool
    """Whether the key stands in pages, where everybody can read it."""
    may_write: bool
    """Whether the key is secret and has the scope to write."""
    config: Store
    """The settings of the key's store."""
    origins: frozenset[bytes]
    """The origins of the store's pages, as browsers send them."""
    bucket: TokenBucket

    @classmethod
    def of(cls, key: Key, config: Store, bucket: TokenBucket) -> "Caller":
        """The caller who showed `key`."""
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
    """Finds the caller of a request by its `Authorization` header.

    A header that was checked is remembered for a second: the check costs as much as reading the body.
    """

    def __init__(self, keyring: Keyring, stores: Mapping[str, Store], settings: CollectorSettings) -> None:
        self._keyring = keyring
        self._stores = stores
        self._rates = {True: settings.public_rate_limit_per_second, False: settings.rate_limit_per_second}
        self._buckets: dict[str, TokenBucket] = {}
        self._remembered: dict[bytes, Caller] = {}
        self._forget_at = 0.0

    async def find(self, authorization: bytes) -> Caller:
        """The caller, whose request is counted against the rate of its key.

        Raises Problem: 401 without a valid key; 404 for a store that is not configured; 429 when the key
        sends too many requests; 503 while keys cannot be checked.
        """
        return self.remembered(authorization) or await self._authenticated(authorization)

    def remembered(self, authorization: bytes) -> Caller | None:
        """As `find`, but from memory alone: None for a header that was not checked within the last second."""
        now = time.monotonic()
        if now >= self._forget_at:
            self._remembered.clear()
            self._forget_at = now + _REMEMBERED_SECONDS
        caller = self._remembered.get(authorization)
        if caller is not None:
            caller.bucket.take(now)
        return caller

    async def _authenticated(self, authorization: bytes) -> Caller:
        key = await authenticate(self._keyring, authorization.decode("latin-1"))
        config = self._stores.get(key.store)
        if config is None:
            raise Problem(404, "not-found", "The store of this key is not configured here.")
        caller = Caller.of(key, config, self.bucket(key.key_id, public=key.kind == "public"))
        if len(self._remembered) < _MOST_REMEMBERED:
            self._remembered[authorization] = caller
        caller.bucket.take(time.monotonic())
        return caller

    async def find_server(self, authorization: str, store: str | None) -> Caller:
        """As `find`, for a secret key that may write to `store`. Raises Problem, also 403 and 404."""
        caller = await self.find(authorization.encode("latin-1"))
        check_may_write(caller)
        check_store(caller.key, store)
        return caller

    async def find_admin(self, authorization: str, store: str | None) -> Caller:
        """As `find`, for a secret key that may do what cannot be undone. Raises Problem, also 403 and 404."""
        caller = await self.find(authorization.encode("latin-1"))
        check_is_admin(caller)
        check_store(caller.key, store)
        return caller

    def bucket(self, key_id: str, *, public: bool) -> TokenBucket:
        """The rate limit of a key. The amend tokens of its answers count against it too."""
        bucket = self._buckets.get(key_id)
        if bucket is None:
            bucket = self._buckets[key_id] = TokenBucket(self._rates[public])
        return bucket

    def has_store(self, store: str) -> bool:
        """Whether this store is configured here."""
        return store in self._stores


def check_may_write(caller: Caller) -> None:
    """Raises Problem 403 for a public key, and for a secret one without the scope to write."""
    if not caller.may_write:
        raise forbidden(Scope.RESPONSES_WRITE)


def check_is_admin(caller: Caller) -> None:
    """Raises Problem 403 unless the key is secret and has the scope `admin`."""
    if not caller.key.may(Scope.ADMIN):
        raise forbidden(Scope.ADMIN)


def check_origin(caller: Caller, origin: bytes | None) -> None:
    """Raises Problem 403 unless `origin`, the header of a page, is one of the store's to the letter."""
    if origin not in caller.origins:
        raise Problem(403, "origin-not-allowed", "A public key works from the origins of its store only.")
