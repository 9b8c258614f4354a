"""How many requests at once, how large and how slow a body may be; one object for all doors of a process."""

import asyncio
import types
from collections.abc import Generator
from typing import Any

from starlette.types import Message, Receive, Scope

from shared.http.problems import Problem
from shared.ops import metrics
from shared.ops.settings import ListenSettings

_LINGER_SECONDS = 1.0
_LINGER_BYTES = 1024 * 1024


class ClientGone(Exception):
    """The client hung up before its body was here; there is nobody to answer."""


class BodyRefused(Problem):
    """The rest of the body is not wanted: answer, then close the connection."""


class Limits:
    """`free` requests may still start; a request that is still sending its body has not started."""

    def __init__(self, listen: ListenSettings) -> None:
        self.free = listen.requests_in_flight
        self.body_bytes = listen.body_limit_bytes
        self.buffer_left = listen.body_buffer_bytes
        self.receive_seconds = listen.receive_timeout_seconds
        metrics.HTTP_IN_PROGRESS.set_function(lambda: listen.requests_in_flight - self.free)

    def enter(self) -> None:
        """Start a request; `leave` when it is answered. Raises Problem 503 when there are too many."""
        if self.free <= 0:
            detail = "Too many requests are being served. Try again."
            raise Problem(503, "busy", detail, headers={"Retry-After": "1"})
        self.free -= 1

    def leave(self) -> None:
        self.free += 1


async def read_body(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    """The whole body. Raises BodyRefused (413, 408, 503) or ClientGone."""
    steps = receive().__await__()
    try:
        pending = next(steps)
    except StopIteration as done:
        # The usual case: it came with the headers. A timer for it would cost more than reading it.
        message: Message = done.value
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
    try:
        while True:
            if message["type"] != "http.request":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            chunks.append(chunk)
            size += len(chunk)
            limits.buffer_left -= len(chunk)
            if size > limits.body_bytes:
                _too_large()
            if not message.get("more_body"):
                return b"".join(chunks)
            if limits.buffer_left < 0:  # nobody has shown a key yet
                detail = "Too many bodies are arriving. Try again."
                raise BodyRefused(503, "busy", detail, headers={"Retry-After": "1", "Connection": "close"})
            message = await receive()
    finally:
        limits.buffer_left += size


@types.coroutine
def _resumed(pending: Any, steps: Generator[Any, Any, Message]) -> Generator[Any, Any, Message]:
    """Go on with an awaitable that was run up to its first wait."""
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
    """Take a little more of a refused body: a close with bytes unread resets the connection, and the
    client loses the answer that it has not read yet."""
    left = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return
