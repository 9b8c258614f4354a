"""Where alerts may go, and that the address that was checked is the one connected to."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpcore
import httpx
import pytest

from services.notifier.channels.http import Forbidden, GuardedBackend, Resolver, check_url, is_own, is_public


def url(text: str) -> httpcore.URL:
    parsed = httpx.URL(text)
    return httpcore.URL(
        scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
    )


class Names:
    """A name server that changes its mind: each lookup gets the next answer."""

    def __init__(self, *answers: Iterable[str]) -> None:
        self._answers = list(answers)
        self.lookups = 0

    async def __call__(self, host: str) -> list[str]:
        answer = self._answers[min(self.lookups, len(self._answers) - 1)]
        self.lookups += 1
        return list(answer)


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[int, list[object]]]:
    seen: list[object] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()
        await server.wait_closed()


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "192.0.0.170",
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fe80::1%eth0",
            "fec0::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "ff0e::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2002:808:808::",
            "2001::1",
            "2001:0:4136:e378::",
            "2001:db8::1",
            "2001:2::1",
            "2001:10::1",
            "3fff::1",
            "100::1",
            "5f00::1",
        ],
    )
    def test_that_are_not_of_the_open_internet(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize(
        "address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
    )
    def test_that_are(self, address: str) -> None:
        assert is_public(address)

    def test_of_this_machine_are_its_own(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("198.51.100.1", 9))
            mine = probe.getsockname()[0]
        assert is_own(mine)
        assert is_own("127.0.0.1")
        assert not is_own("198.51.100.1")


class TestUrls:
    @pytest.mark.parametrize(
        "text", ["http://1.1.1.1/", "https://1.1.1.1:8443/", "https://1.1.1.1:22/", "ftp://1.1.1.1/"]
    )
    def test_that_are_refused(self, text: str) -> None:
        with pytest.raises(Forbidden):
            check_url(url(text), allow_private=False)

    def test_that_are_allowed(self) -> None:
        check_url(url("https://1.1.1.1/hook"), allow_private=False)
        check_url(url("https://1.1.1.1:8443/hook"), allow_private=False, ports={443, 8443})
        check_url(url("http://127.0.0.1:8009/alerts"), allow_private=True)

    def test_a_trial_allows_no_other_scheme(self) -> None:
        with pytest.raises(Forbidden):
            check_url(url("ftp://127.0.0.1/"), allow_private=True)


class TestTheGuard:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "localhost",
            "localhost.",
            "LOCALHOST",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.1",
            "0",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "169.254.169.254",
            "[::]",
            "①②⑦.⓪.⓪.①",
            "localhost。",
        ],
    )
    async def test_connects_to_nothing_inside_however_it_is_written(self, host: str) -> None:
        resolver = Resolver()
        async with listener() as (port, seen):
            backend = GuardedBackend(resolver, allow_private=False)
            with pytest.raises((Forbidden, httpx.InvalidURL)):
                written = httpx.URL(f"https://{host}:{port}/").raw_host.decode()
                await backend.connect_tcp(written, port, timeout=2)
            await asyncio.sleep(0.02)
        resolver.close()
        assert seen == []

    async def test_wants_every_address_of_a_name_to_be_public(self) -> None:
        async with listener() as (port, seen):
            backend = GuardedBackend(Names(["1.1.1.1", "127.0.0.1"]), allow_private=False)
            with pytest.raises(Forbidden):
                await backend.connect_tcp("both.example", port, timeout=1)
            await asyncio.sleep(0.02)
        assert seen == []

    async def test_a_name_that_turns_inwards_is_asked_once_for_each_connection(self) -> None:
        names = Names(["1.1.1.1"], ["127.0.0.1"])
        dialled: list[str] = []

        class Inner(httpcore.AsyncNetworkBackend):
            async def connect_tcp(self, host: str, port: int, *_: object) -> httpcore.AsyncNetworkStream:
                dialled.append(host)
                raise httpcore.ConnectError("nobody there")

        async with listener() as (port, seen):
            backend = GuardedBackend(names, allow_private=False, connector=Inner())
            with pytest.raises(httpcore.ConnectError):
                await backend.connect_tcp("rebinding.example", port, timeout=1)
            with pytest.raises(Forbidden):
                await backend.connect_tcp("rebinding.example", port, timeout=1)
            await asyncio.sleep(0.02)
        assert dialled == ["1.1.1.1"], "connected to something else than what was checked"
        assert seen == []
        assert names.lookups == 2

    async def test_a_name_without_addresses_is_refused(self) -> None:
        backend = GuardedBackend(Names([]), allow_private=False)
        with pytest.raises(Forbidden, match="does not resolve"):
            await backend.connect_tcp("nothing.example", 443, timeout=1)

    async def test_a_trial_may_go_inside(self) -> None:
        async with listener() as (port, seen):
            backend = GuardedBackend(Names(["127.0.0.1"]), allow_private=True)
            stream = await backend.connect_tcp("here.example", port, timeout=2)
            await stream.aclose()
            async with asyncio.timeout(2):
                while not seen:
                    await asyncio.sleep(0.005)
