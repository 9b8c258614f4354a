"""A receiver of alerts, as a shop would run one: it takes every POST and remembers it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Alert:
    """One POST as it arrived."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    def verified(self, secret: str) -> Any:
        """The body, if the official library accepts the signature; raises otherwise."""
        return Webhook(secret).verify(self.raw, self.headers)


@dataclass
class Receiver:
    """`answer` says the status for each alert; `alerts` holds what came, repeats included."""

    answer: Callable[[Alert], int] = lambda _: 204
    alerts: list[Alert] = field(default_factory=list)
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.close()
        await self._server.wait_closed()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def about(self, response_id: str) -> list[Alert]:
        """The signed alerts of which this answer is the reason."""
        return [
            alert
            for alert in self.alerts
            if alert.path == "/alerts" and alert.body["data"]["answer"]["response_id"] == response_id
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while line := await reader.readline():
                await self._one(line.decode(), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the sender was killed in the middle, or the tests are over
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        headers: dict[str, str] = {}
        while header := (await reader.readline()).decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        alert = Alert(line.split()[1], headers, raw)
        self.alerts.append(alert)
        writer.write(f"HTTP/1.1 {self.answer(alert)} x\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
