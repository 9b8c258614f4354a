"""uvicorn's HTTP protocol, with one write for a response and limits on the head of a request."""

import asyncio
from typing import Any

from shared.http.whole_reply import WholeReplies

HEAD_SECONDS = 10.0
"""How long a client may take from connecting, or from the first byte of a request, to the end of its head."""


HEAD_BYTES = 64 * 1024
"""How large the head of a request may be, in however many pieces it comes."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Protocol(WholeReplies):
    """The protocol of a connection.

    uvicorn's own writes head and body of a response separately, and waits for a request for ever.
    """

    _waits_since: float | None = None
    _head_bytes = 0
    _watching: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(OneWrite(transport, self.loop))
        self._waits_since = self.loop.time()
        self._watching = self.loop.call_later(HEAD_SECONDS, self._watch)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watching is not None:
            self._watching.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        waited = self._waits_since is not None
        super().data_received(data)
        if waited and self._waits_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def shutdown(self) -> None:
        """Also close a connection with an endless stream (`closeloop.endless` in its scope)."""
        super().shutdown()
        if self.cycle is not None and self.cycle.scope.get("closeloop.endless"):
            self.transport.close()

    def on_message_begin(self) -> None:
        self._waits_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._waits_since = None
        self._head_bytes = 0
        super().on_headers_complete()

    def _watch(self) -> None:
        """Close a connection whose head takes too long. One timer a connection: up to half as long again."""
        if self._waits_since is not None and self.loop.time() - self._waits_since >= HEAD_SECONDS:
            self.transport.close()
        else:
            self._watching = self.loop.call_later(HEAD_SECONDS / 2, self._watch)


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

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
