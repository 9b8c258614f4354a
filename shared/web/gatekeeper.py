"""The outermost layer: correlation id, limits on number, size and time of requests, and their metrics."""

import asyncio
import re
import time
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.events.envelope import new_traceparent
from shared.ops import metrics
from shared.web.problems import Problem

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})


class BodyTooLarge(Exception):
    """More bytes arrived than a body may have."""


class BodyTooSlow(Exception):
    """The body did not arrive in time."""


def traceparent_of(scope: Scope) -> str:
    """The caller's W3C trace context, or a new one."""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            text: str = value.decode("latin-1")
            if _TRACEPARENT.fullmatch(text):
                return text
    return new_traceparent()


class Gatekeeper:
    """Pure ASGI, so that a response is not delayed and a disconnect cancels nothing."""

    def __init__(self, app: ASGIApp, *, in_flight: int, body_bytes: int, receive_seconds: float) -> None:
        self._app = app
        self._free = in_flight
        self._body_bytes = body_bytes
        self._receive_seconds = receive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        if self._free <= 0:
            metrics.HTTP_REQUESTS.labels(scope["method"], "busy", "503").inc()
            busy = Problem(
                503, "busy", "Too many requests are being served. Try again.", headers={"Retry-After": "1"}
            )
            await busy.response()(scope, receive, send)
            return
        self._free -= 1
        metrics.HTTP_IN_PROGRESS.inc()
        try:
            await self._serve(scope, receive, send)
        finally:
            self._free += 1
            metrics.HTTP_IN_PROGRESS.dec()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        traceparent = traceparent_of(scope)
        scope["closeloop.traceparent"] = traceparent
        scope["closeloop.correlation_id"] = traceparent[3:35]
        structlog.contextvars.bind_contextvars(correlation_id=traceparent[3:35])
        status = 500
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
            await send(message)

        bounded = _Bounded(receive, self._body_bytes, self._receive_seconds)
        try:
            await self._app(scope, bounded.receive, send_noting)
        except (BodyTooLarge, BodyTooSlow) as error:
            if begun:
                raise
            await _refusal(error).response()(scope, receive, send_noting)
        finally:
            structlog.contextvars.clear_contextvars()
            route = _route(scope)
            seconds = time.perf_counter() - started
            metrics.HTTP_REQUESTS.labels(scope["method"], route, str(status)).inc()
            metrics.HTTP_DURATION.labels(scope["method"], route, f"{status // 100}xx").observe(seconds)


def _refusal(error: Exception) -> Problem:
    if isinstance(error, BodyTooLarge):
        return Problem(413, "too-large", "The body is too large.", headers={"Connection": "close"})
    return Problem(408, "too-slow", "The body did not arrive in time.", headers={"Connection": "close"})


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(getattr(route, "path", "unmatched"))


class _Bounded:
    """A `receive` that counts bytes and has a deadline for the whole body."""

    def __init__(self, receive: Receive, most_bytes: int, seconds: float) -> None:
        self._receive = receive
        self._left = most_bytes
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise BodyTooSlow from error
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._left < 0:
                raise BodyTooLarge
        return message
