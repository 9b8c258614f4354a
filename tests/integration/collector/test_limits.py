"""What happens when there is too much of something, or when Kafka does not answer."""

import asyncio
import socket
import threading
import time
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from tests.integration.collector.running import ORIGIN, Collector, Reply, Topic, start

HEAD = (
    "POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    "Content-Type: application/json\r\n{more}\r\n"
)


def open_request(collector: Collector, more: str) -> socket.socket:
    """A connection on which the head of a request was sent."""
    wire = socket.create_connection(("127.0.0.1", collector.port), timeout=15)
    wire.sendall(HEAD.format(key=collector.secret, more=more).encode())
    return wire


def read_reply(wire: socket.socket) -> str:
    """Everything until the other side closes."""
    received = b""
    while data := wire.recv(65536):
        received += data
    return received.decode()


class TestABodyThatIsTooLarge:
    def test_is_413_by_its_length_alone(self, collector: Collector) -> None:
        with open_request(collector, "Content-Length: 300000\r\n") as wire:
            wire.sendall(b"{")
            received = read_reply(wire)
        assert received.startswith("HTTP/1.1 413")
        assert "application/problem+json" in received

    def test_is_413_and_the_client_can_read_it(self, collector: Collector) -> None:
        for size in (262_145, 300_000, 1_000_000):
            reply = collector.post(b'{"score": 9, "comment": "' + b"x" * size + b'"}')
            assert reply.status == 413
            assert reply.json["type"].endswith(":too-large")

    def test_of_exactly_the_limit_is_read(self, collector: Collector) -> None:
        body = b'{"score": 9, "comment": "'
        assert collector.post(body + b"x" * (262_144 - len(body) - 2) + b'"}').status == 422

    def test_in_chunks_is_413_without_being_kept(self, collector: Collector) -> None:
        collector.post({"score": 9})
        before = collector.resident_bytes()
        wire = open_request(collector, "Transfer-Encoding: chunked\r\n")
        sent = 0

        def pour() -> None:
            nonlocal sent
            piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            try:
                for _ in range(800):  # 50 MiB
                    wire.sendall(piece)
                    sent += 65536
            except OSError:
                return

        pouring = threading.Thread(target=pour)
        pouring.start()
        received = wire.recv(65536).decode()
        pouring.join(20)
        wire.close()
        assert received.startswith("HTTP/1.1 413")
        assert sent < 20 * 1024 * 1024
        assert collector.resident_bytes() - before < 8 * 1024 * 1024
        assert collector.post({"score": 9}).status == 202


class TestABodyThatIsTooSlow:
    def test_is_408(self, limited: Collector) -> None:
        started = time.monotonic()
        with open_request(limited, "Content-Length: 1000\r\n") as wire:
            wire.sendall(b'{"score"')
            assert read_reply(wire).startswith("HTTP/1.1 408")
        assert time.monotonic() - started < 5

    def test_holds_no_place(self, limited: Collector) -> None:
        wires = [open_request(limited, "Content-Length: 1000\r\n") for _ in range(8)]
        time.sleep(0.2)
        assert limited.post({"score": 9}).status == 202
        for wire in wires:
            wire.close()

    def test_of_a_client_that_leaves_is_forgotten(self, limited: Collector) -> None:
        open_request(limited, "Content-Length: 1000\r\n").close()
        assert limited.post({"score": 9}).status == 202
        assert "Traceback" not in limited.log.read_text()

    def test_in_pieces_is_put_together(self, limited: Collector) -> None:
        with open_request(limited, "Transfer-Encoding: chunked\r\nConnection: close\r\n") as wire:
            for piece in (b'{"sco', b're": ', b"9}"):
                time.sleep(0.1)
                wire.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            wire.sendall(b"0\r\n\r\n")
            assert read_reply(wire).startswith("HTTP/1.1 202")


class TestAKeyThatAsksTooOften:
    def test_is_429_and_told_when_to_go_on(self, limited: Collector) -> None:
        replies = [limited.from_page({"score": 9}) for _ in range(30)]
        refused = [reply for reply in replies if reply.status == 429]
        assert {reply.status for reply in replies} == {202, 429}
        assert 15 <= len(refused) <= 25
        headers = refused[0].headers
        assert headers["ratelimit-limit"] == "5"
        assert headers["ratelimit-remaining"] == "0"
        assert int(headers["retry-after"]) == int(headers["ratelimit-reset"]) >= 1
        assert headers["access-control-allow-origin"] == ORIGIN
        assert limited.post({"score": 9}).status == 202
        time.sleep(int(headers["retry-after"]) + 0.1)
        assert limited.from_page({"score": 9}).status == 202


class TestABrokerThatDoesNotAnswer:
    @pytest.fixture(autouse=True)
    async def _resumed(self, stack: LocalStack, collector: Collector, limited: Collector):
        yield
        stack.kafka.resume()
        stack.kafka.wait_ready(60)
        for running in (collector, limited):
            async with asyncio.timeout(60):
                while running.post({"score": 9}).status != 202:
                    await asyncio.sleep(0.2)

    async def test_makes_503_with_the_id_and_never_202(
        self, stack: LocalStack, collector: Collector, responses: Topic
    ) -> None:
        assert collector.post({"score": 9}).status == 202
        stack.kafka.pause()
        started = time.monotonic()
        replies = await asyncio.gather(
            *(asyncio.to_thread(collector.post, {"score": 8}) for _ in range(4)),
            asyncio.to_thread(collector.post, {"score": 8, "response_id": "asked-in-vain"}),
        )
        assert time.monotonic() - started < 12
        for reply in replies:
            assert reply.status == 503
            assert reply.headers["content-type"] == "application/problem+json"
            assert int(reply.headers["retry-after"]) >= 1
        assert replies[-1].json["response_id"] == "asked-in-vain"
        assert collector.request("GET", "/livez").status == 200
        stack.kafka.resume()
        response_id = replies[0].json["response_id"]
        reply = await self._until_accepted(collector, response_id)
        assert reply.json["response_id"] == response_id
        written = await responses.about(response_id)
        assert len({record.body["fingerprint"] for record in written}) == 1

    async def test_makes_every_other_write_503_too(self, stack: LocalStack, collector: Collector) -> None:
        accepted = collector.post({"score": 9}).json
        order = {"type": "delivered", "id": "o-503", "delivered_at": "2026-01-01T00:00:00Z"}
        stack.kafka.pause()
        amended, retracted, ordered = await asyncio.gather(
            asyncio.to_thread(
                collector.request, "PATCH", f"/v1/responses/{accepted['response_id']}", {"score": 1}
            ),
            asyncio.to_thread(collector.request, "DELETE", f"/v1/responses/{accepted['response_id']}"),
            asyncio.to_thread(collector.request, "POST", "/v1/orders", order),
        )
        assert (amended.status, retracted.status, ordered.status) == (503, 503, 503)
        assert amended.json["response_id"] == accepted["response_id"]
        assert ordered.json["order_id"] == "o-503"

    async def test_fills_the_places_and_the_next_is_503_at_once(
        self, stack: LocalStack, limited: Collector
    ) -> None:
        stack.kafka.pause()
        waiting = [asyncio.create_task(asyncio.to_thread(limited.post, {"score": 8})) for _ in range(4)]
        await asyncio.sleep(0.5)
        started = time.monotonic()
        reply = await asyncio.to_thread(limited.post, {"score": 8})
        assert time.monotonic() - started < 1
        assert (reply.status, reply.json["type"]) == (503, "urn:closeloop:problem:busy")
        assert int(reply.headers["retry-after"]) >= 1
        assert {reply.status for reply in await asyncio.gather(*waiting)} == {503}

    async def test_leaves_nobody_without_the_id_when_the_service_stops(
        self,
        stack: LocalStack,
        collector: Collector,
        bootstrap: str,
        database_url: str,
        tmp_path: Path,
    ) -> None:
        keys = (collector.secret, collector.public)
        leaving = start(tmp_path, bootstrap, database_url, keys)
        stack.kafka.pause()
        waiting = asyncio.create_task(asyncio.to_thread(leaving.post, {"score": 8, "response_id": "r-left"}))
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(leaving.stop) == 0
        reply = await waiting
        assert (reply.status, reply.json["response_id"]) == (503, "r-left")

    async def _until_accepted(self, collector: Collector, response_id: str) -> Reply:
        async with asyncio.timeout(30):
            while True:
                reply = await asyncio.to_thread(collector.post, {"score": 8, "response_id": response_id})
                if reply.status == 202:
                    return reply
                await asyncio.sleep(0.2)


UNKNOWN = "Bearer sec_aaaaaaaaaaaa_" + "x" * 43


class TestADatabaseThatDoesNotAnswer:
    @pytest.fixture(autouse=True)
    def _back(self, stack: LocalStack, collector: Collector):
        yield
        stack.postgres.start()
        stack.postgres.wait_ready()
        until = time.monotonic() + 30
        while collector.post({"score": 9}, authorization=UNKNOWN).status == 503:
            assert time.monotonic() < until, "keys are not checked again"
            time.sleep(0.1)

    async def test_stops_no_answer_of_a_known_key(self, stack: LocalStack, collector: Collector) -> None:
        assert collector.post({"score": 9}).status == 202
        stack.postgres.kill()
        until = time.monotonic() + 6
        while time.monotonic() < until:
            assert collector.post({"score": 9}).status == 202
            await asyncio.sleep(0.2)
        assert collector.post({"score": 9}, authorization=UNKNOWN).status == 503
        ready = collector.request("GET", "/readyz")
        assert ready.status == 200
        assert ready.json["parts"]["postgres"] != "ok"
