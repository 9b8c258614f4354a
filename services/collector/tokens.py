"""The signed tokens that the collector hands out: amend tokens and customer tokens.

A token is `<kind>_<text>`, safe in a URL. `text` is base64url without padding of a signature and the claims,
a JSON array. The signature is the first 128 bits of HMAC-SHA256 over `<kind>_` and the claims. Each kind has
a key of its own, so that no token passes for another kind.
"""

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

import orjson

AMEND_SECONDS = 24 * 3600
_SIGNATURE_BYTES = 16
_LONGEST = 2048


class _Signer:
    """Signs and reads the tokens of one kind under one key."""

    def __init__(self, kind: str, key: bytes) -> None:
        self._prefix = f"{kind}_".encode()
        # The key and the prefix are hashed in once; a copy for each token takes over from there.
        self._keyed = hmac.new(key, self._prefix, hashlib.sha256)

    def _signature(self, claims: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(claims)
        return mac.digest()[:_SIGNATURE_BYTES]

    def sign(self, claims: list[Any]) -> str:
        text = orjson.dumps(claims)
        return (self._prefix + urlsafe_b64encode(self._signature(text) + text).rstrip(b"=")).decode()

    def read(self, token: str) -> list[Any] | None:
        """The claims of a token that we signed; None for anything else."""
        if len(token) > _LONGEST or not token.isascii() or not token.startswith(self._prefix.decode()):
            return None
        text = token[len(self._prefix) :]
        try:
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            return None
        signature, claims = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(self._signature(claims), signature):
            return None
        return list(orjson.loads(claims))


@dataclass(frozen=True, slots=True)
class AmendableAnswer:
    """The answer that an amend token lets its bearer amend, with the scale to check a new score against.

    `fingerprint`: of the only body that the token is for. Somebody else may have sent another one under the
    same id.
    """

    store: str
    response_id: str
    expires_at: int
    metric: str
    scale: str
    key_id: str
    fingerprint: str | None = None


class AmendTokens:
    """Whoever sent an answer may amend it for 24 hours, by the token that came with the 202."""

    def __init__(self, key: bytes) -> None:
        self._signer = _Signer("amd", key)

    def issue(
        self,
        store: str,
        response_id: str,
        *,
        now: int,
        metric: str,
        scale: str,
        key_id: str,
        fingerprint: str,
    ) -> str:
        """A token for one body of one answer. `now` is in seconds since 1970."""
        expires_at = now + AMEND_SECONDS
        return self._signer.sign([store, response_id, expires_at, metric, scale, key_id, fingerprint])

    def read(self, token: str, *, now: float) -> AmendableAnswer | None:
        """The answer of a token; None for a token that we did not sign or that has expired."""
        claims = self._signer.read(token)
        # Six claims: a token that the release before gave out within the last day, for an id alone.
        if claims is None or len(claims) not in (6, 7) or claims[2] < now:
            return None
        return AmendableAnswer(*claims)


@dataclass(frozen=True, slots=True)
class CustomerIdentity:
    """Who a customer is, as the store's server says."""

    id: str | None
    email: str | None


class CustomerTokens:
    """A store's server gets one for the page of a signed-in customer: `POST /v1/customer-tokens`."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._signers: dict[str, _Signer] = {}

    def _signer_of(self, store: str) -> _Signer:
        if store not in self._signers:
            self._signers[store] = _Signer("cst", hmac.digest(self._key, store.encode(), hashlib.sha256))
        return self._signers[store]

    def issue(self, store: str, identity: CustomerIdentity, *, expires_at: int) -> str:
        """A token for one customer of one store. `expires_at` is in seconds since 1970."""
        return self._signer_of(store).sign([store, identity.id, identity.email, expires_at])

    def read(self, store: str, token: str, *, now: float) -> CustomerIdentity | None:
        """The customer of a token; None for one that was not signed for this store or that has expired."""
        claims = self._signer_of(store).read(token)
        if claims is None or len(claims) != 4 or claims[0] != store or claims[3] < now:
            return None
        return CustomerIdentity(claims[1], claims[2])
