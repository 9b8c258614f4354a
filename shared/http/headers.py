"""The headers that keep answers out of caches, and pages from running what is not ours."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# `no-referrer` would make browsers send `Origin: null` with our own forms.
_OF_PAGES = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SAFE = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""What every answer has, for a route that writes its headers itself."""


class SafeHeaders:
    """Middleware around a whole application: `guard` for each of its answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                guard(message)
            await send(message)

        await self._app(scope, receive, guarded)


def guard(start: Message) -> None:
    """Add to the start of a response what it does not say itself.

    No answer is kept in a cache: most have names, comments or tokens in them, and those that may be kept,
    such as style sheets, say so. A page runs scripts of this host alone and is shown in no frame.
    """
    headers = MutableHeaders(raw=list(start.get("headers", ())))
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "no-store")
    media = headers.get("content-type", "")
    if media.startswith("text/html") or "location" in headers or not media:
        for name, value in _OF_PAGES.items():
            headers.setdefault(name, value)
    start["headers"] = headers.raw
