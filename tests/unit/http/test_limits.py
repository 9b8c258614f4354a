"""How much may be on its way to us at once."""

import asyncio
from typing import Any

import pytest

from shared.http.limits import BodyRefused, Limits, read_body
from shared.ops.settings import ListenSettings

SCOPE: dict[str, Any] = {"headers": []}


class Client:
    """Sends pieces of a body, one when asked to."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def send(self, size: int, *, last: bool = False) -> None:
        self.pieces.put_nowait({"type": "http.request", "body": b"x" * size, "more_body": not last})


class TestTheBuffer:
    async def test_is_one_for_all_connections(self) -> None:
        limits = Limits(ListenSettings(port=1, body_buffer_bytes=2000, body_limit_bytes=1500))
        clients = [Client() for _ in range(3)]
        reading = [asyncio.create_task(read_body(SCOPE, one.pieces.get, limits)) for one in clients]
        for one in clients:
            one.send(900)
            await asyncio.sleep(0)
        with pytest.raises(BodyRefused) as refused:
            await reading[2]
        assert (refused.value.status, refused.value.type) == (503, "busy")
        for one in clients[:2]:
            one.send(100, last=True)
        assert [len(await task) for task in reading[:2]] == [1000, 1000]
        assert limits.buffer_left == 2000
