"""A receiver of webhooks on a real socket, which answers as it is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Hit:
    at: float
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(status: int, body: bytes = b"thanks", *, headers: str = "") -> Answer:
    async def send(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} Because\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return send


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff this is not HTTP\r\n\r\n")
    writer.close()


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        await writer.drain()


def redirect(to: str) -> Answer:
    return answer(301, headers=f"location: {to}\r\n")


@dataclass
class Receiver:
    """Answers by `script`, its last line again and again. Use it as `async with Receiver() as receiver:`.

    With `protocol` it answers as that one finds the request.
    """

    script: list[Answer] = field(default_factory=lambda: [answer(200)])
    hits: list[Hit] = field(default_factory=list)
    port: int = 0
    protocol: "Callable[[Hit], Answer] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        step = self.script[min(len(self.hits), len(self.script) - 1)]
        self.hits.append(Hit(time.monotonic(), headers, body))
        if self.protocol:
            step = self.protocol(self.hits[-1])
        await step(writer)
        return not writer.is_closing()

    async def wait_for(self, hits: int, *, seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while len(self.hits) < hits:
                await asyncio.sleep(0.005)
