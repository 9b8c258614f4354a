"""A whole response in one write, for a route on which the two messages of ASGI cost too much (6 to 10%).

It finishes uvicorn's cycle of a request by hand, and so it relies on what no version of uvicorn promises.
All of that stands in this file. `usable` tries it out at the start of a process: if uvicorn is not as
expected, no request is offered a whole reply, and its route sends the two messages of ASGI instead.
"""

import asyncio
import threading
from functools import cache
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from shared.ops.logs import log

_log = log("web")

WHOLE_REPLY = "closeloop.whole_reply"
"""In the scope of a request, if this is offered: a function `(scope, response) -> bool` that writes a whole
response. When it returns False it wrote nothing, and the route uses `send`, as it does without an offer.
Middleware that listens to `send` takes the function out of the scope."""


class WholeReplies(HttpToolsProtocol):
    """uvicorn's protocol with `WHOLE_REPLY` in each scope. Its transport must have `write_at_once`."""

    _offers_whole_replies = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._offers_whole_replies = usable()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.scope is not None:  # it would hold the connection, and the connection holds it
            self.scope.pop(WHOLE_REPLY, None)  # type: ignore[misc]

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._offers_whole_replies:
            self.scope[WHOLE_REPLY] = self._write_whole  # type: ignore[literal-required]

    def _write_whole(self, scope: Scope, response: bytes) -> bool:
        # No reference to its cycle: the two would hold each other, and every request would be garbage.
        cycle = self.cycle
        overtaken = cycle.scope is not scope or cycle.response_started or cycle.disconnected
        if overtaken or not cycle.keep_alive or self.flow.write_paused:
            return False
        cycle.response_started = cycle.response_complete = True
        self.transport.write_at_once(response)  # type: ignore[attr-defined]
        cycle.message_event.set()
        cycle.on_response()
        return True


@cache
def usable() -> bool:
    """Whether this uvicorn is as a whole reply needs it. Tried out once a process, with a warning if not."""
    reason = unexpected()
    if reason:
        _log.warning("whole_reply.not_usable", reason=reason)
    return not reason


def unexpected() -> str:
    """How a connection with whole replies ends up unlike one with ASGI's two messages; empty: not at all."""
    traces: dict[bool, list[dict[str, Any]]] = {}
    errors: list[Exception] = []

    def rehearse() -> None:
        try:
            for whole in (False, True):
                traces[whole] = asyncio.run(_rehearsed(whole=whole))
        except Exception as error:  # whatever it is, uvicorn is not as expected
            errors.append(error)

    # In a thread, because this one may have a loop that runs.
    thread = threading.Thread(target=rehearse, name="whole-reply")
    thread.start()
    thread.join()
    if errors:
        return type(errors[0]).__name__
    names = [
        name
        for plain, whole in zip(traces[False], traces[True], strict=True)
        for name in sorted(plain.keys() | whole.keys())
        if plain.get(name) != whole.get(name)
    ]
    return ", ".join(dict.fromkeys(names))


_REQUESTS = (
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody",
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
)
_HEAD, _BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", b"ok"
_LEFT_UNSET = "chunked_encoding"
"""Set by the first of the two messages, and read by nobody once a response is complete."""


async def _rehearsed(*, whole: bool) -> list[dict[str, Any]]:
    """Send requests through a connection in memory; returns what each has left behind."""
    connection, server = _Connection(), ServerState()
    config = uvicorn.Config(_answer, lifespan="off", log_config=None, access_log=False)
    protocol = WholeReplies(config, server, {}, _loop=asyncio.get_running_loop())
    HttpToolsProtocol.connection_made(protocol, connection)
    protocol._offers_whole_replies = whole
    traces = []
    for request in _REQUESTS:
        protocol.data_received(request)
        await asyncio.gather(*server.tasks)
        cycle = protocol.cycle
        flags = {
            name: value for name, value in vars(cycle).items() if isinstance(value, int | bytearray | None)
        }
        flags.pop(_LEFT_UNSET, None)
        traces.append(
            {
                **flags,
                "written": bytes(connection.written),
                "closed": connection.closed,
                "whole": cycle.scope.get("whole") == (whole and cycle.keep_alive),
                "message_event": cycle.message_event.is_set(),
                "write_paused": protocol.flow.write_paused,
                "keep_alive_timer": protocol.timeout_keep_alive_task is not None,
                "total_requests": server.total_requests,
            }
        )
    protocol.connection_lost(None)
    return traces


async def _answer(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    write_whole = scope.get(WHOLE_REPLY)
    scope["whole"] = bool(write_whole and write_whole(scope, _HEAD + b"\r\n" + _BODY))
    if not scope["whole"]:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": _BODY})


class _Connection(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    write_at_once = write

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...
