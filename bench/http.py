"""A small keep-alive HTTP/1.1 client: a benchmark must not measure its client."""

import asyncio
from typing import Self

TIMEOUT_SECONDS = 30.0


def get(path: str, key: str) -> bytes:
    """A whole GET."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


class Connection:
    """One connection to the loopback, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def request(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises TimeoutError or ConnectionError."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            self._writer.write(request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 : head.index(b"\r", at)]) if at >= 0 else 0
            return int(head[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()
