"""Limits on the number of requests at once, and on the size and the time of a body.

What all bodies together may take is counted where bytes come in: `shared/http/budget.py`.
"""

import asyncio
import types
from collections.abc import Generator
from typing import Any

from starlette.types import Message, Receive, Scope

from shared.http.problems import Problem
from shared.http.rates import Buckets, TokenBucket
from shared.ops import metrics
from shared.ops.settings import ListenSettings

LINGER_SECONDS = 1.0
LINGER_BYTES = 1024 * 1024


class ClientGone(Exception):
    """The client closed the connection before its body was complete. No answer can be sent."""


class BodyRefused(Problem):
    """The body is too large or too slow: answer without reading the rest, then close the connection."""


class Limits:
    """The limits of a process, one object for all of its routes.

    `free` more requests may start now; a request whose body is still arriving has not started.
    """

    def __init__(self, listen: ListenSettings) -> None:
        self.free = listen.requests_in_flight
        self.body_bytes = listen.body_limit_bytes
        self.receive_seconds = listen.receive_timeout_seconds
        rate = listen.unknown_keys_per_second
        self.unknown_keys = Buckets(lambda: TokenBucket(rate, "Too many requests with an unknown key."))
        metrics.HTTP_IN_PROGRESS.set_function(lambda: listen.requests_in_flight - self.free)

    def enter(self) -> None:
        """Start a request; call `leave` when it is answered. Raises Problem 503 when there are too many."""
        if self.free <= 0:
            detail = "Too many requests are being served. Try again."
            raise Problem(503, "busy", detail, headers={"Retry-After": "1"})
        self.free -= 1

    def leave(self) -> None:
        """End a request that `enter` started."""
        self.free += 1


async def read_body(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    """The whole body. Raises BodyRefused (413, 408) or ClientGone."""
    steps = receive().__await__()
    try:
        pending = next(steps)
    except StopIteration as end:
        # The usual case: the body came with the headers. A timer would cost more than to read it.
        message: Message = end.value
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            return body if len(body) <= limits.body_bytes else _too_large()
        pending = None
    if _announced(scope) > limits.body_bytes:
        _too_large()
    try:
        async with asyncio.timeout(limits.receive_seconds):
            if pending is not None:
                message = await _resumed(pending, steps)
            return await _collect(message, receive, limits)
    except TimeoutError:
        raise BodyRefused(
            408, "too-slow", "The body did not arrive in time.", headers={"Connection": "close"}
        ) from None


async def _collect(message: Message, receive: Receive, limits: Limits) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > limits.body_bytes:
            _too_large()
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()


@types.coroutine
def _resumed(pending: Any, steps: Generator[Any, Any, Message]) -> Generator[Any, Any, Message]:
    """Continue an awaitable that was run up to its first wait."""
    try:
        yield pending
    except BaseException:
        steps.close()
        raise
    return (yield from steps)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:18])
    return 0


def _too_large() -> bytes:
    raise BodyRefused(413, "too-large", "The body is too large.", headers={"Connection": "close"})


async def linger(receive: Receive) -> None:
    """Read a little more of a refused body, for at most 1 s.

    To close with unread bytes resets the connection, and the client may lose the answer.
    """
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return
