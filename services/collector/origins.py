"""CORS: which pages may read our responses. By exact match of the origin; never `*`, never credentials."""

from collections.abc import Mapping

from starlette.types import Scope, Send

from shared.config import Store
from shared.http.problems import Problem, send_problem

RawHeaders = list[tuple[bytes, bytes]]

STORE_IN_SCOPE = "closeloop.store"
"""Where a route notes in the ASGI scope the store whose pages may read the response."""

VARY = (b"vary", b"Origin")
_EXPOSED = (
    b"access-control-expose-headers",
    b"Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset",
)
_MAX_AGE_SECONDS = b"7200"


def cors_headers(origin: bytes) -> RawHeaders:
    """The headers that let a page of this origin, which was checked, read a response."""
    return [(b"access-control-allow-origin", origin), VARY, _EXPOSED]


class AllowedOrigins:
    """The origins of the pages of every store."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._by_store = {
            name: frozenset(origin.encode() for origin in store.allowed_origins)
            for name, store in stores.items()
        }
        self._of_any_store = frozenset[bytes]().union(*self._by_store.values())

    def headers_for(self, origin: bytes | None, store: str | None) -> RawHeaders:
        """The headers of a response to a page. While `store` is not known, pages of any store may read it."""
        allowed = self._of_any_store if store is None else self._by_store.get(store, frozenset())
        return cors_headers(origin) if origin is not None and origin in allowed else [VARY]

    async def preflight(self, scope: Scope, send: Send, *, method: bytes) -> None:
        """Answer a browser's `OPTIONS`, which has no key: pages of any store may send `method`."""
        origin = dict(scope["headers"]).get(b"origin")
        if origin not in self._of_any_store or origin is None:
            problem = Problem(403, "origin-not-allowed", "Pages of this origin may not send answers.")
            await send_problem(problem, send, headers=[VARY])
            return
        headers = [
            *cors_headers(origin),
            (b"access-control-allow-methods", method),
            (b"access-control-allow-headers", b"authorization, content-type, idempotency-key, traceparent"),
            (b"access-control-max-age", _MAX_AGE_SECONDS),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body"})
