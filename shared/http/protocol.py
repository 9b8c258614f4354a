"""uvicorn's HTTP protocol, with one write for a response and limits on everything that a client may send."""

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
from starlette.types import Receive, Scope, Send

from shared.http.budget import CONNECTION_BYTES, FIELD_BYTES, REQUEST_BYTES, WAITING_REQUESTS, Budget
from shared.http.limits import LINGER_BYTES, LINGER_SECONDS
from shared.http.problems import Problem
from shared.http.whole_reply import WholeReplies
from shared.ops import metrics
from shared.ops.addresses import TrustedProxies
from shared.ops.settings import ListenSettings, PlatformSettings

HEAD_SECONDS = 10.0
"""How long a client may take from connecting, or from the first byte of a request, to the end of its head.

It may take as long to send the rest of a body that nobody waits for, because the answer was sent already.
"""

_SENT = "closeloop.sent"
"""In the scope of a request: what it takes, as `_Sent`."""


def _refusal(status: int, kind: str, detail: str, **headers: str) -> bytes:
    """A whole response that ends its connection."""
    problem = Problem(status, kind, detail)
    body = problem.body()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "connection: close",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join((*lines, "", "")).encode() + body


_INVALID = _refusal(400, "not-http", "This is not valid HTTP.")
_BODY_TOO_LARGE = _refusal(413, "too-large", "The body is too large.")
_HEAD_TOO_LARGE = _refusal(431, "head-too-large", "The head of the request is too large.")
_BUSY = _refusal(503, "busy", "Too much is arriving at once. Try again.", retry_after="1")


def protocol_for(platform: PlatformSettings, listen: ListenSettings) -> Callable[..., asyncio.Protocol]:
    """What makes the protocol of each connection of a process."""
    proxies = TrustedProxies(platform.closeloop_proxies)
    return partial(
        Protocol, budget=Budget(listen), proxies=proxies, write_seconds=listen.write_timeout_seconds
    )


def _cut_off(reason: str) -> None:
    metrics.HTTP_CUT_OFF.labels(reason).inc()


class _Sent:
    """What a request takes of the budget, in bytes; nothing once it is over."""

    __slots__ = ("is_over", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.is_over = False


def _sent_of(cycle: Any) -> _Sent:
    sent: _Sent = cycle.scope[_SENT]
    return sent


class Protocol(WholeReplies):
    """The protocol of a connection.

    uvicorn's own writes head and body of a response separately, waits for a request for ever, and keeps
    whatever is sent: trailers without end, any number of requests behind a slow one. Here all bytes count
    against a `Budget` as they come in. Whoever exceeds it gets the answers to what it sent before, then 431,
    413 or 503, then a close. A request is not begun while its client leaves the answers before it unread.
    """

    def __init__(
        self,
        *arguments: Any,
        budget: Budget,
        proxies: TrustedProxies | None = None,
        write_seconds: float = 30.0,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self._budget = budget
        self._proxies = proxies
        self._write_seconds = write_seconds
        self._application, self.app = self.app, self._answer
        self._held = 0
        self._sent = _Sent(0)  # of the newest request
        self._sent.is_over = True
        self._waits_since: float | None = None
        self._since = 0.0
        self._in_head = self._in_message = self._message_ended = self._receiving = False
        self._field_bytes = self._head_bytes = self._late_bytes = 0
        self._active: Any = None  # the cycle that is being answered
        self._last_words: bytes | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._unread, self._unread_since = 0, 0.0

    # A connection

    def connection_made(self, transport: Any) -> None:
        super().connection_made(OneWrite(transport, self.loop))
        self._waits_since = self._since = self.loop.time()
        self._timers = [self.loop.call_later(HEAD_SECONDS, self._watch)]
        self._take(CONNECTION_BYTES)
        self._budget.enter(self)
        if self._budget.is_full:
            self._budget.make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        self._let_go()
        if self._active is not None:  # uvicorn tells the newest request alone
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)
        self.app = self._application  # else the two hold each other, as garbage

    def data_received(self, data: bytes) -> None:
        size = len(data)
        if self._last_words is not None:
            self._drop(size)
            return
        self._take(size)
        self._receiving = True
        if self._budget.is_full:
            self._budget.make_room(self)
        self._receiving = False
        in_head, self._message_ended = self._in_head, False
        if self._last_words is None and not self.transport.is_closing():
            self._parse(data)
        self._settle(size)
        if self._in_head and not self._message_ended:
            # One field may come in any number of pieces; the parser says nothing of it before its end.
            self._head_bytes = self._head_bytes + size if in_head else size
        if self._held > self._budget.connection_bytes:
            self._refuse_size()
        elif self._in_head and self._head_bytes > self._budget.head_bytes:
            self._refuse(_HEAD_TOO_LARGE, "head")

    def _parse(self, data: bytes) -> None:
        """As uvicorn does it, without its warning for what is invalid: a flood of that would fill the log."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(_INVALID, "invalid")
        except httptools.HttpParserUpgrade:
            # No web socket and no HTTP/2: answer the request as what it is beside that, and close.
            self._refuse(b"", "")

    def _settle(self, size: int) -> None:
        """Charge what came in to the newest request; nothing of it is kept if that one was answered."""
        cycle = self.cycle
        answered_early = (
            self._in_message and not self._in_head and cycle is not None and cycle.response_started
        )
        if self._sent.is_over or answered_early:
            self._give(size)
        else:
            self._sent.size += size
        if answered_early:
            self._late_bytes += size
            if self._late_bytes > LINGER_BYTES:
                self._refuse(b"", "body")

    def shutdown(self) -> None:
        """Also close a connection with an endless stream (`closeloop.endless` in its scope)."""
        super().shutdown()
        if self._active is not None and self._active.scope.get("closeloop.endless"):
            self.transport.close()

    def _watch(self) -> None:
        """Close a connection whose client is too slow. One timer a connection: up to half as long again."""
        now = self.loop.time()
        unread = self.transport.get_write_buffer_size()
        if not unread or unread < self._unread:
            self._unread_since = now
        self._take_unread(unread)
        if unread and now - self._unread_since >= self._write_seconds:
            _cut_off("unread")
            self.transport.abort()
        elif self._waits_since is not None and now - self._waits_since >= HEAD_SECONDS:
            if not self.transport.is_closing():
                _cut_off("slow")
            self.transport.close()
        self._timers[0] = self.loop.call_later(HEAD_SECONDS / 2, self._watch)

    # What the parser finds

    def on_message_begin(self) -> None:
        if self._last_words is not None:
            return
        self._waits_since = self._since = self.loop.time()
        self._in_head = self._in_message = True
        self._field_bytes = self._head_bytes = self._late_bytes = 0
        super().on_message_begin()
        self._sent = _Sent(REQUEST_BYTES)
        self._take(REQUEST_BYTES)
        self.scope[_SENT] = self._sent  # type: ignore[literal-required]
        if self._held > self._budget.connection_bytes:
            self._refuse(_HEAD_TOO_LARGE, "head")
        elif len(self.pipeline) >= WAITING_REQUESTS:
            self._refuse(_BUSY, "pipeline")

    def on_url(self, url: bytes) -> None:
        self._field_bytes += len(url)
        if self._field_bytes > self._budget.head_bytes:
            self._refuse(_HEAD_TOO_LARGE, "head")
        elif self._last_words is None:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_bytes += len(name) + len(value) + 4
        if self._last_words is not None:
            return
        if self._field_bytes > self._budget.head_bytes or len(self.headers) >= self._budget.head_fields:
            self._refuse(_HEAD_TOO_LARGE, "head")
        elif self._in_head:  # a trailer counts, and is not kept: nobody reads it
            name = name.lower()
            if name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._last_words is not None:
            return
        self._waits_since = None
        self._field_bytes = 0
        fields = len(self.headers) * FIELD_BYTES
        self._take(fields)
        self._sent.size += fields
        if self._proxies and self.client:
            self.scope["client"] = (self._proxies.client(self.client[0], self.headers), self.client[1])
        super().on_headers_complete()
        self._in_head = False  # only now: uvicorn may find the address invalid
        if not self.pipeline:
            self._active = self.cycle

    def on_body(self, body: bytes) -> None:
        if self._last_words is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._last_words is not None:
            return
        self._in_message = False
        self._message_ended = True
        self._waits_since = None
        super().on_message_complete()

    # Answers

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self.flow.write_paused:
                # Here it holds no place among the requests in flight; in `send` it would, for as long as the
                # client likes. It ends as all that is not read: `_watch`.
                await self.flow.drain()
            await self._application(scope, receive, send)
        finally:
            self._end(scope[_SENT])

    def on_response_complete(self) -> None:
        self._active = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        if self._active is None:
            if self._last_words is not None:
                self._say_last_words()
            elif self._in_message and not self._in_head:
                self._waits_since = self.loop.time()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_since = self.loop.time()
        self._take_unread(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_since = self.loop.time()
        self._take_unread(0)

    # The end of a connection that exceeded a limit

    def _refuse_size(self) -> None:
        if self._in_head:
            self._refuse(_HEAD_TOO_LARGE, "head")
        else:
            self._refuse(_BODY_TOO_LARGE, "body")

    def _refuse(self, last_words: bytes, reason: str, *, drop_waiting: bool = False) -> None:
        """Take nothing more. Once the requests before are answered, say this, then close.

        `drop_waiting`: requests that nobody works on yet are not answered either. The request of which a part
        has come in ends as if its client had gone.
        """
        if self._last_words is not None or self.transport.is_closing():
            return
        self._last_words = last_words
        if reason:
            _cut_off(reason)
        cycle = self.cycle
        arriving = cycle if self._in_message and not self._in_head else None
        if self._in_head:
            self._end(self._sent)
        elif arriving is not None and arriving is not self._active and self.pipeline:
            self._end(_sent_of(self.pipeline.popleft()[0]))
        if drop_waiting:
            for waiting, _ in self.pipeline:
                self._end(_sent_of(waiting))
            self.pipeline.clear()
        if arriving is not None and arriving.response_started:
            self._last_words = b""
        if arriving is not None and arriving is self._active:
            self._end(_sent_of(arriving))
            arriving.disconnected = True
            arriving.body = bytearray()
            arriving.message_event.set()
            self._active = None
        if self._active is None:
            self._say_last_words()

    def _say_last_words(self) -> None:
        """Write them, then wait for a moment for the client to read them.

        To close with unread bytes resets the connection, and the client may lose the answer.
        """
        if self.transport.is_closing():
            return
        if self._last_words:
            self.transport.write_at_once(self._last_words)  # type: ignore[attr-defined]
        self.transport.write_eof()
        self.parser, self.headers = None, []  # type: ignore[assignment]  # as uvicorn does it
        self.flow.resume_reading()
        self._timers.append(self.loop.call_later(LINGER_SECONDS, self.transport.abort))

    def _drop(self, size: int) -> None:
        self._late_bytes += size
        if self._late_bytes > LINGER_BYTES:
            self.transport.abort()

    # The budget

    @property
    def weight(self) -> tuple[int, float]:
        """What it holds of the budget, in bytes; then for how long, in seconds."""
        return self._held + self._unread, -self._since

    def give_up(self) -> None:
        """Let go of everything that nobody works on, and close; nothing if all of it is being worked on."""
        if self._unread:
            _cut_off("busy")
            self.transport.abort()
        elif self._in_message or self._receiving or self.pipeline:
            self._refuse(_BUSY, "busy", drop_waiting=True)
        elif self._active is None:  # idle
            self.transport.close()
        else:
            return
        self._let_go()

    def _let_go(self) -> None:
        """Give back what the connection holds but for the request that is being worked on."""
        for waiting, _ in self.pipeline:
            self._end(_sent_of(waiting))
        if self._in_head:
            self._end(self._sent)
        self._take_unread(0)
        if self._budget.leave(self):
            self._give(CONNECTION_BYTES)

    def _take(self, size: int) -> None:
        self._held += size
        self._budget.held += size

    def _give(self, size: int) -> None:
        self._held -= size
        self._budget.held -= size

    def _end(self, sent: _Sent) -> None:
        self._give(sent.size)
        sent.size = 0
        sent.is_over = True

    def _take_unread(self, size: int) -> None:
        self._budget.held += size - self._unread
        self._unread = size


class OneWrite:
    """A transport that joins two writes of one turn of the loop: each write is a system call."""

    __slots__ = ("_held", "_loop", "_transport", "get_extra_info", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        held = self._held
        if held is None:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._held = None
            self._write(held + data)

    def write_at_once(self, data: bytes) -> None:
        self._flush()
        self._write(data)

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._write(held)

    def _write(self, data: bytes) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
