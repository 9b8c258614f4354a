"""The outermost middleware: correlation id, limits on number, size and time of requests, metrics."""

import asyncio
import re
import time
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.events.envelope import new_traceparent
from shared.http.limits import BodyRefused, ClientGone, Limits, linger, read_body
from shared.http.problems import Problem, crashed, send_problem, unavailable
from shared.ops import metrics

_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
PROBES = frozenset({"/livez", "/readyz", "/metrics"})
_GONE = 499


def valid_traceparent(sent: bytes | None) -> bytes:
    """The caller's W3C trace context, or a new one if it sent none or a malformed one."""
    if sent is not None and _TRACEPARENT.fullmatch(sent):
        return sent
    return new_traceparent().encode()


class Gatekeeper:
    """Reads and limits each request, and counts it. Plain ASGI: it delays no response and cancels no work."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        sent = valid_traceparent(dict(scope["headers"]).get(b"traceparent"))
        traceparent = scope["closeloop.traceparent"] = sent.decode()
        scope["closeloop.correlation_id"] = traceparent[3:35]
        structlog.contextvars.bind_contextvars(correlation_id=traceparent[3:35])
        answer = _Answer(send, sent)
        try:
            await self._serve(scope, receive, answer)
        finally:
            structlog.contextvars.clear_contextvars()
            route = _route(scope)
            seconds = time.perf_counter() - started
            metrics.HTTP_REQUESTS.labels(scope["method"], route, str(answer.status)).inc()
            metrics.HTTP_DURATION.labels(scope["method"], route, f"{answer.status // 100}xx").observe(seconds)

    async def _serve(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            body = await read_body(scope, receive, self._limits)
            self._limits.enter()
        except ClientGone:
            answer.status = _GONE
            return
        except BodyRefused as problem:
            await send_problem(problem, answer.send, before_end=lambda: linger(receive))
            return
        except Problem as problem:
            await send_problem(problem, answer.send)
            return
        try:
            await self._app(scope, _replayed(body, receive), answer.send)
        except asyncio.CancelledError:  # the grace of a stop is over
            if answer.begun:
                raise
            stopped = unavailable("The service stopped before it could answer. Send the same again.")
            await send_problem(stopped, answer.send)
        except Exception as error:
            if answer.begun:
                raise
            await send_problem(crashed(error, scope), answer.send)
        finally:
            self._limits.leave()


class _Answer:
    """A `send` that notes the status, and adds the header `traceparent`."""

    def __init__(self, send: Send, traceparent: bytes) -> None:
        self._send = send
        self._traceparent = traceparent
        self.status = 500
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.begun = message["status"], True
            message["headers"] = [*message.get("headers", ()), (b"traceparent", self._traceparent)]
        await self._send(message)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body that was read already, then what the connection receives."""
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(getattr(route, "path", "unmatched"))
