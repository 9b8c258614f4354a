"""uvicorn with our protocol, on a socket: what the client sees."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import uvicorn

from shared.http import protocol
from shared.http.budget import Budget
from shared.http.protocol import OneWrite, Protocol
from shared.http.whole_reply import WHOLE_REPLY
from shared.ops.settings import ListenSettings

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers in two parts, apart from each other on `/slowly`; on `/whole` in one, where that can be."""
    if scope["path"] == "/whole":
        await asyncio.sleep(0)
        if scope[WHOLE_REPLY](scope, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nwhole: yes\r\n\r\nok"):
            return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    if scope["path"] == "/slowly":
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b"o", "more_body": True})
    await send({"type": "http.response.body", "body": b"k"})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    made: Any = partial(Protocol, budget=Budget(ListenSettings()))
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, http=made, lifespan="off", log_config=None, access_log=False)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield int(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    await serving


@contextlib.asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class TestAResponse:
    @pytest.mark.parametrize("path", [b"/", b"/slowly", b"/whole"])
    async def test_arrives_whole_and_the_next_one_too(self, port: int, path: bytes) -> None:
        async with connection(port) as (reader, writer):
            for _ in range(3):
                writer.write(GET.replace(b"/", path, 1))
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(2) == b"ok"

    async def test_arrives_before_the_connection_closes(self, port: int) -> None:
        async with connection(port) as (reader, writer):
            writer.write(GET.replace(b"Host: x", b"Connection: close"))
            assert (await reader.read()).endswith(b"ok")

    async def test_in_one_piece_says_itself_what_it_says(self, port: int) -> None:
        async with connection(port) as (reader, writer):
            writer.write(GET.replace(b"/", b"/whole", 1))
            assert b"whole: yes" in await reader.readuntil(b"\r\n\r\n")

    async def test_is_not_in_one_piece_for_whoever_wants_no_other(self, port: int) -> None:
        async with connection(port) as (reader, writer):
            writer.write(GET.replace(b"/", b"/whole", 1).replace(b"Host: x", b"Connection: close"))
            answer = await reader.read()
            assert answer.endswith(b"ok")
            assert b"connection: close" in answer
            assert b"whole: yes" not in answer

    async def test_keeps_its_place_among_requests_sent_at_once(self, port: int) -> None:
        paths = [b"/whole", b"/slowly", b"/whole", b"/", b"/whole"]
        async with connection(port) as (reader, writer):
            writer.write(b"".join(GET.replace(b"/", path, 1) for path in paths))
            for path in paths:
                head = await reader.readuntil(b"\r\n\r\n")
                assert path == b"/whole" or b"whole: yes" not in head
                assert await reader.readexactly(2) == b"ok"

    @pytest.mark.parametrize("path", [b"/", b"/whole"])
    async def test_leaves_nothing_to_the_garbage_collector(self, port: int, path: bytes) -> None:
        async with connection(port) as (reader, writer):
            gc.collect()
            for _ in range(200):
                writer.write(GET.replace(b"/", path, 1))
                await reader.readuntil(b"ok")
            assert gc.collect() < 200

    async def test_and_its_connection_leave_nothing_either(self, port: int) -> None:
        def protocols() -> int:
            return sum(isinstance(it, Protocol) for it in gc.get_objects())

        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                async with connection(port) as (reader, writer):
                    writer.write(GET)
                    await reader.readuntil(b"ok")
            await asyncio.sleep(0.05)
            assert protocols() <= 2
        finally:
            gc.enable()

    @pytest.mark.parametrize("path", [b"/", b"/whole"])
    async def test_that_nobody_waits_for_harms_nobody(self, port: int, path: bytes) -> None:
        for _ in range(20):
            async with connection(port) as (_, writer):
                writer.write(GET.replace(b"/", path, 1))
        async with connection(port) as (reader, writer):
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


class TestAHeadThatDoesNotCome:
    @pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["silent", "cut short"])
    async def test_ends_the_connection(self, port: int, sent: bytes) -> None:
        async with connection(port) as (reader, writer), asyncio.timeout(2):
            writer.write(sent)
            assert await reader.read() == b""

    async def test_ends_it_also_when_it_trickles_after_a_good_request(self, port: int) -> None:
        async with connection(port) as (reader, writer), asyncio.timeout(3):
            writer.write(GET)
            await reader.readuntil(b"ok")
            with contextlib.suppress(OSError):
                for letter in b"GET / HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaa":
                    writer.write(bytes([letter]))
                    await asyncio.sleep(0.03)
            with contextlib.suppress(OSError):
                assert await reader.read() == b""

    async def test_leaves_an_idle_connection_alone(self, port: int) -> None:
        async with connection(port) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"ok")
            await asyncio.sleep(0.7)
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


class TestOneWrite:
    async def test_joins_two_writes_of_a_turn_and_no_more(self) -> None:
        written: list[bytes] = []

        class Wire(asyncio.Transport):
            def write(self, data: Any) -> None:
                written.append(data)

            def is_closing(self) -> bool:
                return False

            def close(self) -> None:
                written.append(b"closed")

        wire = OneWrite(Wire(), asyncio.get_running_loop())
        for part in (b"a", b"b", b"c"):
            wire.write(part)
        await asyncio.sleep(0)
        assert written == [b"ab", b"c"]
        wire.write(b"d")
        wire.close()
        assert written[2:] == [b"d", b"closed"]


class TestALargeHead:
    @pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX-Large: ", b"GET /"])
    async def test_is_refused_before_it_is_whole(self, port: int, start: bytes) -> None:
        """Nobody has shown a key yet, and all of it is memory."""
        async with connection(port) as (reader, writer):
            writer.write(start)
            for _ in range(7):  # all in all just too much, so that the client is not still writing
                writer.write(b"x" * 9_400)
                await asyncio.sleep(0.001)
            answer = await reader.read()
            assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))

    async def test_of_many_small_ones_is_none(self, port: int) -> None:
        async with connection(port) as (reader, writer):
            for _ in range(20):
                writer.write(GET.replace(b"\r\n\r\n", b"\r\nX-Some: " + b"x" * 6000 + b"\r\n\r\n"))
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(2) == b"ok"
