"""The demo's HTTP connection against a server that answers as told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cli.demo.connection import Broken, Connection


@asynccontextmanager
async def server(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Gives one answer a request, in this order over all connections, and keeps what it was sent."""
    left, requests = list(answers), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = next((int(x[15:]) for x in head.split(b"\r\n") if x.startswith(b"Content-Length:")), 0)
            requests.append(head + await reader.readexactly(length))
            answer = left.pop(0)
            writer.write(answer)
            if not answer:
                break
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", requests


OK = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\nX-One: 1\r\n\r\n{}"


async def test_keeps_the_connection_for_the_next_request() -> None:
    async with server(OK, OK) as (url, requests):
        connection = Connection(url, timeout_seconds=2)
        answer = await connection.request("POST", "/v1/responses", headers={"A": "b"}, body=b'{"score":9}')
        await connection.request("DELETE", "/v1/responses/1", headers={}, body=b"")
        connection.close()

    assert (answer.status, answer.body, answer.headers["x-one"]) == (202, b"{}", "1")
    assert requests[0].startswith(b"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1")
    assert requests[0].endswith(
        b'\r\nA: b\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"score":9}'
    )
    assert requests[1].startswith(b"DELETE")


async def test_reads_a_body_in_chunks() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    async with server(chunked, OK) as (url, _):
        connection = Connection(url, timeout_seconds=2)
        assert (await connection.request("GET", "/", headers={}, body=b"")).body == b"abcde"
        assert (await connection.request("GET", "/", headers={}, body=b"")).status == 202
        connection.close()


async def test_opens_anew_after_the_server_closed() -> None:
    async with server(b"", OK) as (url, requests):
        connection = Connection(url, timeout_seconds=2)
        with pytest.raises(Broken):
            await connection.request("GET", "/", headers={}, body=b"")
        assert (await connection.request("GET", "/", headers={}, body=b"")).status == 202
        connection.close()
    assert len(requests) == 2


@pytest.mark.parametrize(
    "nonsense", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 2"]
)
async def test_an_answer_that_is_none_is_broken(nonsense: bytes) -> None:
    async with server(nonsense) as (url, _):
        with pytest.raises(Broken):
            await Connection(url, timeout_seconds=0.5).request("GET", "/", headers={}, body=b"")


async def test_nobody_there_is_broken() -> None:
    with pytest.raises(Broken):
        await Connection("http://127.0.0.1:1", timeout_seconds=1).request("GET", "/", headers={}, body=b"")
