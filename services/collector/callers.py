"""Who sends a request: the key, its store, and what the key may do, from where and how often."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.collector.settings import CollectorSettings
from shared.access import Key, Keyring, Scope
from shared.config import Store
from shared.http import Problem
from shared.http.auth import authenticate, check_store, forbidden
from shared.http.limits import Limits
from shared.http.rates import Buckets, TokenBucket
from shared.ops.addresses import one_client

REFUSED_COSTS = 5
"""A request of a page whose body is refused counts as so many: an honest page sends few of them."""

_COSTLY = frozenset({400, 403, 404, 408, 413, 415, 422})
AMENDMENTS_AT_ONCE = 10
"""So many amendments of one answer may come at once; then `amendments_per_answer_per_minute` holds."""
_ANSWER_TOO_OFTEN = "This answer is amended too often. Slow down."
_CLIENT_TOO_OFTEN = "Too many requests from your network address. Slow down."

Peer = tuple[str, int] | None
"""Address and port of a client, as ASGI's scope has them."""

_REMEMBERED_SECONDS = 1.0
"""Together with the keyring's own 2 s below the 5 s within which a revoked key must stop."""
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that was checked, with its store's settings."""

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

    @classmethod
    def of(cls, key: Key, config: Store) -> "Caller":
        """The caller who showed `key`."""
        return cls(
            key,
            key.store,
            key.key_id,
            public=key.kind == "public",
            may_write=key.may(Scope.RESPONSES_WRITE),
            config=config,
            origins=frozenset(origin.encode() for origin in config.allowed_origins),
        )


class Callers:
    """Finds the caller of a request by its `Authorization` header.

    A header that was checked is remembered for a second: the check costs as much as reading the body.
    """

    def __init__(
        self, keyring: Keyring, stores: Mapping[str, Store], settings: CollectorSettings, limits: Limits
    ) -> None:
        self._keyring = keyring
        self._limits = limits
        self._stores = stores
        self._rates = {True: settings.public_rate_limit_per_second, False: settings.rate_limit_per_second}
        self._buckets: dict[str, TokenBucket] = {}
        rate = settings.client_rate_limit_per_second
        self._clients = Buckets(lambda: TokenBucket(rate, _CLIENT_TOO_OFTEN))
        changes = settings.amendments_per_answer_per_minute / 60
        self._answers = Buckets(lambda: TokenBucket(changes, _ANSWER_TOO_OFTEN, burst=AMENDMENTS_AT_ONCE))
        self._remembered: dict[bytes, Caller] = {}
        self._forget_at = 0.0

    async def find(self, authorization: bytes, peer: Peer) -> Caller:
        """The caller, whose request is counted: against the rate of its key, and for a public key first
        against that of its network address, so that one page cannot use up what is there for all.

        Raises Problem: 401 without a valid key; 404 for a store that is not configured; 429 when the key or
        the address sends too many requests; 503 while keys cannot be checked.
        """
        return self.remembered(authorization, peer) or await self._authenticated(authorization, peer)

    def remembered(self, authorization: bytes, peer: Peer) -> Caller | None:
        """As `find`, but from memory alone: None for a header that was not checked within the last second."""
        caller = self.known(authorization)
        if caller is not None:
            self.count(caller.key_id, peer, public=caller.public)
        return caller

    def known(self, authorization: bytes) -> Caller | None:
        """As `remembered`, but nothing is counted."""
        now = time.monotonic()
        if now >= self._forget_at:
            self._remembered.clear()
            self._forget_at = now + _REMEMBERED_SECONDS
        return self._remembered.get(authorization)

    async def _authenticated(self, authorization: bytes, peer: Peer) -> Caller:
        key = await authenticate(
            self._keyring,
            authorization.decode("latin-1"),
            limits=self._limits,
            address=peer[0] if peer else "",
        )
        config = self._stores.get(key.store)
        if config is None:
            raise Problem(404, "not-found", "The store of this key is not configured here.")
        caller = Caller.of(key, config)
        if len(self._remembered) < _MOST_REMEMBERED:
            self._remembered[authorization] = caller
        self.count(caller.key_id, peer, public=caller.public)
        return caller

    async def find_server(self, authorization: str, store: str | None, peer: Peer) -> Caller:
        """As `find`, for a secret key that may write to `store`. Raises Problem, also 403 and 404."""
        caller = await self.find(authorization.encode("latin-1"), peer)
        self._check(caller, check_may_write, peer)
        check_store(caller.key, store)
        return caller

    async def find_admin(self, authorization: str, store: str | None, peer: Peer) -> Caller:
        """As `find`, for a secret key that may do what cannot be undone. Raises Problem, also 403 and 404."""
        caller = await self.find(authorization.encode("latin-1"), peer)
        self._check(caller, check_is_admin, peer)
        check_store(caller.key, store)
        return caller

    def _check(self, caller: Caller, check: Callable[[Caller], None], peer: Peer) -> None:
        try:
            check(caller)
        except Problem as problem:
            self.refused(caller.key_id, peer, public=caller.public, status=problem.status)
            raise

    def count(self, key_id: str, peer: Peer, *, public: bool) -> None:
        """Count a request with a key, or with an amend token of its answers. Raises Problem 429."""
        now = time.monotonic()
        if public:
            self._client(key_id, peer, now).take(now)
        bucket = self._buckets.get(key_id)
        if bucket is None:
            bucket = self._buckets[key_id] = TokenBucket(self._rates[public])
        bucket.take(now)

    def count_amendment(self, store: str, response_id: str) -> None:
        """Count an amendment with the token of an answer: each makes its row be read. Raises Problem 429."""
        now = time.monotonic()
        self._answers.of((store, response_id), now).take(now)

    def refused(self, key_id: str, peer: Peer, *, public: bool, status: int) -> None:
        """Count a request that was counted already for more, because it was refused with this status."""
        if public and status in _COSTLY:
            now = time.monotonic()
            self._client(key_id, peer, now).charge(now, REFUSED_COSTS - 1)

    def _client(self, key_id: str, peer: Peer, now: float) -> TokenBucket:
        return self._clients.of((key_id, one_client(peer[0]) if peer else ""), now)

    def has_store(self, store: str) -> bool:
        """Whether this store is configured here."""
        return store in self._stores


def check_may_write(caller: Caller) -> None:
    """Raises Problem 403 for a public key, and for a secret one without the scope to write."""
    if not caller.may_write:
        raise forbidden(Scope.RESPONSES_WRITE, caller.key)


def check_is_admin(caller: Caller) -> None:
    """Raises Problem 403 unless the key is secret and has the scope `admin`."""
    if not caller.key.may(Scope.ADMIN):
        raise forbidden(Scope.ADMIN, caller.key)


def check_origin(caller: Caller, origin: bytes | None) -> None:
    """Raises Problem 403 unless `origin`, the header of a page, is one of the store's to the letter."""
    if origin not in caller.origins:
        raise Problem(403, "origin-not-allowed", "A public key works from the origins of its store only.")
