"""Checks the API key of a request."""

import time
from collections.abc import Awaitable, Callable

from fastapi import Request

from shared.access import AccessUnavailable, Key, Keyring, Scope
from shared.http.limits import Limits
from shared.http.parameters import StoreName
from shared.http.problems import Problem
from shared.ops.addresses import one_client


def bearer(authorization: str) -> str:
    """The token of an Authorization header. Raises Problem 401 when there is none."""
    kind, _, token = authorization.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise _unauthorised("Send your key in the header: Authorization: Bearer <key>.")
    return token.strip()


async def authenticate(keyring: Keyring, authorization: str, *, limits: Limits, address: str) -> Key:
    """The key of an Authorization header that came from a network address.

    Raises Problem: 401 for a missing, unknown or revoked key; 429 for too many of them from one address, as
    PostgreSQL is asked about each; 503 while it cannot be asked.
    """
    token = bearer(authorization)
    if (key := keyring.known(token)) is not None:
        return key
    if not keyring.stale:  # else a good key may be unknown, and asking for it costs nothing
        now = time.monotonic()
        limits.unknown_keys.of(one_client(address), now).take(now)
    try:
        key = await keyring.find(token)
    except AccessUnavailable:
        raise Problem(
            503,
            "keys-unavailable",
            "Keys cannot be checked right now. Try again.",
            headers={"Retry-After": "2"},
        ) from None
    if key is None:
        raise _unauthorised("The key is unknown, expired or revoked.")
    return key


def require(scope: Scope) -> Callable[[Request], Awaitable[Key]]:
    """A dependency of FastAPI: the request's key, which must have this scope.

    Raises Problem as `authenticate` and `check_store` do, and 403 for another key.
    """

    async def checked(request: Request, store: StoreName = None) -> Key:
        key = await authenticate(
            request.app.state.keyring,
            request.headers.get("authorization", ""),
            limits=request.app.state.limits,
            address=request.client.host if request.client else "",
        )
        if not key.may(scope):
            raise forbidden(scope, key)
        check_store(key, store)
        return key

    checked.scope = scope  # type: ignore[attr-defined]
    return checked


def forbidden(scope: str, key: Key) -> Problem:
    """403, for a key without this scope. A public key has no scopes, and none can be given to it."""
    if key.kind == "public":
        detail = f"This needs a secret key (sec_...) with the scope {scope}; this key is a public one."
        return Problem(403, "forbidden", detail)
    return Problem(403, "forbidden", f"This key lacks the scope {scope}.")


def check_store(key: Key, store: str | None) -> None:
    """Raises Problem 404 for another store than the key's, as if it did not exist."""
    if store is not None and store != key.store:
        raise Problem(404, "not-found", "There is no such store for this key.")


def _unauthorised(detail: str) -> Problem:
    return Problem(401, "unauthorised", detail, headers={"WWW-Authenticate": 'Bearer realm="closeloop"'})
