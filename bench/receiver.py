"""Receives the alerts of the notifier and notes when each came."""

import asyncio
import time
from typing import Any, Self

import orjson


class Receiver:
    """An HTTP server on the loopback; `arrived` has the moment (perf_counter) by the answer's id."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.requests = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        for writer in self._open:
            writer.close()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/alerts"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                at = head.index(b"content-length:")
                body = await reader.readexactly(int(head[at + 15 : head.index(b"\r", at)]))
                self._note(time.perf_counter(), orjson.loads(body))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _note(self, now: float, alert: Any) -> None:
        self.requests += 1
        answer = alert["data"]["answer"]
        if answer:
            self.arrived.setdefault(answer["response_id"], now)
