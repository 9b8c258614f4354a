"""How long and how large a body may be."""

import asyncio
from typing import Any

import pytest

from shared.http.limits import BodyRefused, ClientGone, Limits, read_body
from shared.ops.settings import ListenSettings

SCOPE: dict[str, Any] = {"headers": []}


class Client:
    """Sends pieces of a body, one when asked to."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def send(self, size: int, *, last: bool = False) -> None:
        self.pieces.put_nowait({"type": "http.request", "body": b"x" * size, "more_body": not last})


class TestABody:
    async def read(self, client: Client) -> bytes:
        limits = Limits(ListenSettings(port=1, body_limit_bytes=1500, receive_timeout_seconds=0.05))
        return await read_body(SCOPE, client.pieces.get, limits)

    async def test_in_pieces_is_put_together(self) -> None:
        client = Client()
        client.send(900)
        client.send(100, last=True)
        assert len(await self.read(client)) == 1000

    async def test_that_is_too_large_or_too_slow_is_refused(self) -> None:
        for pieces, status in {(900, 700): 413, (900,): 408}.items():
            client = Client()
            for size in pieces:
                client.send(size)
            with pytest.raises(BodyRefused) as refused:
                await self.read(client)
            assert refused.value.status == status

    async def test_of_a_client_that_left_is_nobodys(self) -> None:
        client = Client()
        client.send(900)
        client.pieces.put_nowait({"type": "http.disconnect"})
        with pytest.raises(ClientGone):
            await self.read(client)
