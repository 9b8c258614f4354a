"""Which pages may read our answers: CORS by exact match of the origin, never `*`, never credentials."""

from collections.abc import Mapping

from starlette.types import Scope, Send

from shared.config import Store
from shared.http.problems import Problem, send_problem

RawHeaders = list[tuple[bytes, bytes]]

STORE = "closeloop.store"
"""Where a handler notes in the scope whose pages may read its response."""

VARY = (b"vary", b"Origin")
_EXPOSED = (
    b"access-control-expose-headers",
    b"Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset",
)
_MAX_AGE_SECONDS = b"7200"


def allowing(origin: bytes) -> RawHeaders:
    """The headers that let a page of this origin read the response."""
    return [(b"access-control-allow-origin", origin), VARY, _EXPOSED]


class Origins:
    """The allowed origins of all stores."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._of = {
            name: frozenset(origin.encode() for origin in store.allowed_origins)
            for name, store in stores.items()
        }
        self._any = frozenset[bytes]().union(*self._of.values())

    def headers(self, origin: bytes | None, store: str | None) -> RawHeaders:
        """For a response to a page. While the store is not known, one of any store may read it."""
        allowed = self._any if store is None else self._of.get(store, frozenset())
        return allowing(origin) if origin is not None and origin in allowed else [VARY]

    async def preflight(self, scope: Scope, send: Send, *, method: bytes) -> None:
        """Answer `OPTIONS`, which names no key: the origin may be that of any store."""
        origin = dict(scope["headers"]).get(b"origin")
        if origin not in self._any or origin is None:
            problem = Problem(403, "origin-not-allowed", "Pages of this origin may not send answers.")
            await send_problem(problem, send, headers=[VARY])
            return
        headers = [
            *allowing(origin),
            (b"access-control-allow-methods", method),
            (b"access-control-allow-headers", b"authorization, content-type, idempotency-key, traceparent"),
            (b"access-control-max-age", _MAX_AGE_SECONDS),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body"})
