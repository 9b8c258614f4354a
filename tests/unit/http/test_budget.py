"""What a client may send before the connection ends, in whatever part of HTTP it sends it."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import uvicorn
from prometheus_client import REGISTRY
from pydantic import ValidationError

from shared.http import protocol
from shared.http.budget import CONNECTION_BYTES, WAITING_REQUESTS, Budget
from shared.http.limits import ClientGone, Limits, read_body
from shared.http.problems import Problem, send_problem
from shared.http.protocol import Protocol
from shared.ops.addresses import TrustedProxies
from shared.ops.settings import ListenSettings

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = GET.replace(b"/", b"/slow", 1)
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
SETTINGS = ListenSettings(
    head_limit_bytes=8 * 1024,
    body_limit_bytes=16 * 1024,
    connection_buffer_bytes=64 * 1024,
    process_buffer_bytes=1024 * 1024,
    receive_timeout_seconds=5,
)


@dataclass
class Served:
    """Our protocol on a socket, with an application that reads bodies as the services do."""

    budget: Budget = field(default_factory=lambda: Budget(SETTINGS))
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    clients: list[tuple[str, int]] = field(default_factory=list)
    """Of each request that the application was asked: host and port."""
    proxies: TrustedProxies | None = None
    port: int = 0

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.clients.append(scope["client"])
        if scope["path"] == "/slow":
            await self.go_on.wait()
        body = b"ok" * (4_000_000 if scope["path"] == "/large" else 1)
        try:
            if scope["path"] != "/early":
                await read_body(scope, receive, Limits(SETTINGS))
        except ClientGone:
            return
        except Problem as problem:
            await send_problem(problem, send)
            return
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Served"]:
        made: Any = partial(Protocol, budget=self.budget, proxies=self.proxies, write_seconds=0.4)
        config = uvicorn.Config(
            self.app,
            port=0,
            http=made,
            ws="none",
            lifespan="off",
            log_config=None,
            interface="asgi3",
            proxy_headers=False,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        self.port = int(server.servers[0].sockets[0].getsockname()[1])
        yield self
        self.go_on.set()
        server.should_exit = True
        await serving
        assert self.budget.held == 0

    @contextlib.asynccontextmanager
    async def client(self, **limits: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **limits)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def pour(self, pieces: Iterable[bytes]) -> tuple[bytes, int]:
        """Send until the other side closes: what came back, and how much was sent."""
        sent = 0
        async with self.client() as (reader, writer), asyncio.timeout(10):
            answer = asyncio.create_task(reader.read())
            with contextlib.suppress(OSError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                    sent += len(piece)
                    if answer.done():
                        break
            with contextlib.suppress(OSError):
                return await answer, sent
        return b"", sent

    async def is_given_back(self, *, but: int = 0) -> None:
        await until(lambda: self.budget.held <= but)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def status_of(reader: asyncio.StreamReader) -> bytes:
    """Of the next answer; nothing if the connection ends without one."""
    with contextlib.suppress(OSError):
        return (await reader.read(12))[9:]
    return b""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with Served().running() as served:
        yield served


def endless(*first: bytes, then: bytes) -> Iterator[bytes]:
    return itertools.chain(first, itertools.repeat(then, 5000))


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        (endless(CHUNKED, b"2\r\n{}\r\n0\r\n", then=b"trailer: line\r\n" * 500), 431),
        (endless(CHUNKED, b"2\r\n{}\r\n0\r\ntrailer: ", then=b"x" * 8000), 413),
        (endless(CHUNKED, b"2;", then=b"extension" * 800), 413),
        (endless(CHUNKED, then=b"1;name=value-that-is-long-and-says-nothing-at-all\r\nx\r\n" * 100), 413),
        (endless(b"GET / HTTP/1.1\r\nfield: ", then=b"x" * 5000), 431),
        (endless(b"GET /", then=b"x" * 5000), 431),
        ([b"GET / HTTP/1.1\r\nfield: " + b"x" * 9000 + b"\r\n\r\n"], 431),
        ([b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n"], 431),
        (endless(then=b"GET /slow HTTP/1.1\r\n\r\n" * 100), 503),
        (endless(CHUNKED.replace(b"/", b"/early", 1), then=b"4000\r\n" + b"x" * 0x4000 + b"\r\n"), 200),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400),
        ([b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere\r\n\r\n"], 400),
        (
            endless(
                GET.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: websocket\r\nHost"), then=b"x" * 9000
            ),
            200,
        ),
    ],
    ids=[
        "trailers",
        "one trailer",
        "one extension",
        "extensions",
        "a head",
        "a path",
        "a head at once",
        "fields",
        "a pipeline",
        "a body that nobody reads",
        "HTTP/2",
        "a tunnel",
        "a web socket",
    ],
)
async def test_what_does_not_end_is_ended(served: Served, pieces: Iterable[bytes], status: int) -> None:
    if "slow" in repr(pieces):
        served.go_on.set()
    asyncio.get_running_loop().call_later(0.3, served.go_on.set)
    answer, sent = await served.pour(pieces)
    assert b"HTTP/1.1 %d" % status in answer or (answer == b"" and sent > 64_000)
    assert sent < 8_000_000
    await served.is_given_back()


class TestARefusal:
    async def test_is_no_second_answer(self, served: Served) -> None:
        early = CHUNKED.replace(b"/", b"/early", 1)
        answer, _ = await served.pour(endless(early, b"1;", then=b"extension" * 800))
        assert answer.count(b"HTTP/1.1 ") == 1 or answer == b""
        answer, _ = await served.pour(endless(early, b"0\r\n", then=b"trailer: x\r\n" * 100))
        assert answer.count(b"HTTP/1.1 ") == 1 or answer == b""

    async def test_comes_after_an_answer_without_a_body(self, served: Served) -> None:
        head = SLOW.replace(b"GET", b"HEAD").replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost")
        async with served.client() as (reader, writer), asyncio.timeout(10):
            writer.write(head)
            await until(lambda: len(served.clients) == 1)
            served.go_on.set()
            assert (await reader.read()).startswith(b"HTTP/1.1 200")


class TestRequestsBehindASlowOne:
    async def test_are_answered_in_their_order_before_the_refusal(self, served: Served) -> None:
        async with served.client() as (reader, writer), asyncio.timeout(10):
            writer.write(SLOW + GET * 3 + b"GET / HTTP/1.1\r\nfield: ")
            await until(lambda: len(served.clients) == 1)
            writer.write(b"x" * 9000)
            await writer.drain()
            served.go_on.set()
            answer = await reader.read()
        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200"] * 4 + [b"431"]

    async def test_do_not_overtake_it_by_being_invalid(self, served: Served) -> None:
        async with served.client() as (reader, writer), asyncio.timeout(10):
            writer.write(SLOW + b"\x00 is no HTTP\r\n\r\n")
            await until(lambda: len(served.clients) == 1)
            served.go_on.set()
            answer = await reader.read()
        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]

    async def test_are_welcome_in_a_number(self, served: Served) -> None:
        async with served.client() as (reader, writer), asyncio.timeout(10):
            for _ in range(50):
                writer.write(GET * 8)
                for _ in range(8):
                    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await served.is_given_back(but=9_000)

    async def test_are_answered_up_to_a_number_and_then_refused(self, served: Served) -> None:
        async with served.client() as (reader, writer), asyncio.timeout(10):
            writer.write(SLOW + GET * 100)
            while not served.clients:
                await asyncio.sleep(0.01)
            served.go_on.set()
            answer = await reader.read()
        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200"] * (1 + WAITING_REQUESTS) + [b"503"]
        assert b"\r\nretry-after: 1\r\n" in answer
        await served.is_given_back()


class TestRequestsBehindAnAnswerThatNobodyReads:
    async def test_are_not_begun_before_it_is_read(self) -> None:
        wide = Budget(SETTINGS.model_copy(update={"process_buffer_bytes": 16 * 1024 * 1024}))
        async with (
            Served(budget=wide).running() as served,
            served.client(limit=1024) as (reader, writer),
            served.client() as (honest, asking),
            asyncio.timeout(20),
        ):
            writer.write(GET.replace(b"/", b"/large", 1) + GET * 3)
            while served.budget.held < 1_000_000:
                await asyncio.sleep(0.01)
            asking.write(GET)
            assert (await honest.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            assert len(served.clients) == 2, "the large one and the honest one"
            for _ in range(4):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                await reader.readexactly(int(head.split(b"content-length: ")[1].split()[0]))
            assert len(served.clients) == 5

    async def test_end_with_it(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
        async with served.client(limit=1024) as (reader, writer), asyncio.timeout(10):
            writer.write(GET.replace(b"/", b"/large", 1) + GET * 100)
            await reader.readexactly(4)
            await served.is_given_back()


async def test_what_is_invalid_is_counted_and_not_logged(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    counted = partial(REGISTRY.get_sample_value, "closeloop_http_cut_off_total", {"reason": "invalid"})
    before = counted() or 0
    answer, _ = await served.pour([b"\x00 is no HTTP\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 400")
    assert counted() == before + 1
    assert caplog.text == ""


class TestTheBudgetOfAll:
    async def test_is_taken_from_those_who_hold_most(self, served: Served) -> None:
        """200 clients who send half of a body each, more than fits; and one who asks for something."""
        half = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 12000\r\n\r\n" + b"x" * 8000
        async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
            halves = []
            for _ in range(200):
                reader, writer = await stack.enter_async_context(served.client())
                writer.write(half)
                halves.append((writer, asyncio.create_task(status_of(reader))))
            reader, writer = await stack.enter_async_context(served.client())
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            assert served.budget.held <= SETTINGS.process_buffer_bytes
            statuses = []
            for writer, status in halves:
                writer.write(b"x" * 4000)  # the rest, for those that were not refused
                statuses.append(await status)
            assert set(statuses) == {b"200", b"503"}
            assert 100 < statuses.count(b"503") < 200
        await served.is_given_back()

    async def test_ends_idle_connections_for_a_new_one(self, served: Served) -> None:
        async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
            for _ in range(200):
                await stack.enter_async_context(served.client())
            reader, writer = await stack.enter_async_context(served.client())
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            assert served.budget.held <= SETTINGS.process_buffer_bytes
        await served.is_given_back()

    async def test_is_503_for_the_newest_while_all_is_worked_on(self, served: Served) -> None:
        whole = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 15000\r\n\r\n" + b"x" * 15_000
        async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
            sent = {}
            for _ in range(60):
                reader, writer = await stack.enter_async_context(served.client())
                writer.write(whole)
                sent[writer.get_extra_info("sockname")] = asyncio.create_task(status_of(reader))
            await until(lambda: all(it in served.clients or status.done() for it, status in sent.items()))
            served.go_on.set()
            statuses = await asyncio.gather(*sent.values())
        assert set(statuses) <= {b"200", b"503", b""}  # closed at once, if it had asked for nothing yet
        assert statuses[:30] == [b"200"] * 30
        assert 5 < len(statuses) - statuses.count(b"200") < 30
        await served.is_given_back()

    async def test_counts_what_is_worked_on_after_its_client_has_gone(self, served: Served) -> None:
        async with served.client() as (_, writer):
            writer.write(SLOW.replace(b"GET", b"POST").replace(b"Host", b"Content-Length: 9000\r\nHost"))
            writer.write(b"x" * 9000)
            await until(lambda: served.budget.held > CONNECTION_BYTES + 9000)
            held = served.budget.held
        await served.is_given_back(but=held - CONNECTION_BYTES)
        assert served.budget.held > 9000
        served.go_on.set()
        await served.is_given_back()


class TestAResponseThatNobodyReads:
    async def test_ends_the_connection(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
        async with served.client(limit=1024) as (reader, writer), asyncio.timeout(10):
            writer.write(GET.replace(b"/", b"/large", 1))
            await reader.readexactly(4)
            await until(lambda: served.budget.held >= 1_000_000)
            await served.is_given_back()

    async def test_that_is_read_slowly_arrives(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
        async with served.client(limit=64 * 1024) as (reader, writer), asyncio.timeout(20):
            writer.write(GET.replace(b"/", b"/large", 1).replace(b"Host", b"Connection: close\r\nHost"))
            received = 0
            while piece := await reader.read(400_000):
                received += len(piece)
                await asyncio.sleep(0.01)
        assert received > 8_000_000


class TestBehindAProxy:
    async def test_the_address_is_the_clients(self) -> None:
        forwarded = b"X-Forwarded-For: 10.9.9.9, 192.0.2.7\r\nHost"
        async with (
            Served(proxies=TrustedProxies("1")).running() as served,
            served.client() as (reader, writer),
        ):
            writer.write(GET + GET.replace(b"Host", forwarded))
            for _ in range(2):
                await reader.readuntil(b"ok")
        assert [host for host, _ in served.clients] == ["127.0.0.1", "192.0.2.7"]

    async def test_of_nobody_the_header_is_ignored(self, served: Served) -> None:
        async with served.client() as (reader, writer):
            writer.write(GET.replace(b"Host", b"X-Forwarded-For: 192.0.2.7\r\nHost"))
            await reader.readuntil(b"ok")
        assert [host for host, _ in served.clients] == ["127.0.0.1"]


def test_a_connection_has_room_for_a_head_and_a_body() -> None:
    with pytest.raises(ValidationError, match="a head and a body must fit"):
        ListenSettings(body_limit_bytes=1024 * 1024)
