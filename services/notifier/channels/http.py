"""One attempt over HTTP: bounded in time and size, no redirects, no proxies, to checked addresses only.

A name is resolved once for a connection, all of its addresses must be public, and the connection is made to
one of those that were checked: a name server that changes its answer in between changes nothing. TLS still
verifies the certificate for the name. Mail servers are the operator's own and are not checked.
"""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import httpx

from services.notifier.channels.message import Message

REPLY_SHOWN = 256


@dataclass(frozen=True, slots=True)
class Request:
    """The headers and the body of one HTTP request."""

    headers: Mapping[str, str]
    body: bytes


Build = Callable[[Message, datetime], Request]
"""The request of a message at this moment. Raises Unbuildable when there can be none."""


class Unbuildable(Exception):
    """This message cannot be given this channel's form. The text says why, without the customer's words."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went. `status`: of HTTP or SMTP; None: no answer came, and `error` says why."""

    status: int | None
    seconds: float
    reply: str = ""
    error: str = ""
    retry_after_seconds: float | None = None
    final: bool = False
    """Trying again cannot help: the receiver is gone, refuses this message, or it cannot be built."""

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def printable(raw: bytes | str) -> str:
    """The start of a receiver's answer, as it may be shown to people."""
    text = raw[: 4 * REPLY_SHOWN].decode(errors="replace") if isinstance(raw, bytes) else raw
    return "".join(c for c in text if c.isprintable())[:REPLY_SHOWN]


Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host name. Raises OSError or UnicodeError."""

_LOOKUPS_AT_ONCE = 64
_LOOKUP_SECONDS = 5.0


class Forbidden(Exception):
    """The address may not be called. The text says why and is safe to show."""


def check_url(url: httpcore.URL, *, allow_private: bool, ports: Iterable[int] = (443,)) -> None:
    """Raises Forbidden for what can be told without a name server: the scheme and the port."""
    if not url.host:
        raise Forbidden("the target's address names no host")
    if url.scheme != b"https" and not (allow_private and url.scheme == b"http"):
        raise Forbidden("the target must be https")
    if not allow_private and (url.port or 443) not in ports:
        raise Forbidden("the target's port is not one that alerts may go to")


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open internet, also when it is wrapped in IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_V4)
    if address.ipv4_mapped is not None:
        return is_public(str(address.ipv4_mapped))
    if address in _NAT64:
        return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
    return address in _UNICAST and address.is_global and not any(address in net for net in _NOT_PUBLIC_V6)


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
# What `is_global` of some Python versions lets pass: multicast, class E, relays and tunnels, documentation.
_NOT_PUBLIC_V4 = [
    ipaddress.IPv4Network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4")
]
_NOT_PUBLIC_V6 = [
    ipaddress.IPv6Network(net)
    for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16")
]


def is_own(text: str) -> bool:
    """Whether an address is one of this machine's: a packet to it would leave from itself. Sends nothing."""
    address = text.partition("%")[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 443))
            return bool(probe.getsockname()[0] == address)
    except OSError:
        return False


class Resolver:
    """Names by the system's resolver, in threads of its own, one lookup of a name at a time.

    A name server that hangs keeps one thread for each of its names, and nobody else waits for those.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="resolve")
        self._lookups: dict[str, asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str) -> list[str]:
        lookup = self._lookups.get(host)
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = loop.run_in_executor(self._threads, _look_up, host)
            self._lookups[host] = lookup
            lookup.add_done_callback(lambda future: self._looked_up(host, future))
        return await asyncio.shield(lookup)

    def _looked_up(self, host: str, future: "asyncio.Future[list[str]]") -> None:
        self._lookups.pop(host, None)
        if not future.cancelled():
            future.exception()  # whoever still waits has it; nobody may

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str) -> list[str]:
    entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, and to those that it checked."""

    def __init__(
        self, resolve: Resolve, *, allow_private: bool, connector: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._connector = connector or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises Forbidden, or what httpcore raises for a connection that fails."""
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in await self.addresses(host):
            try:
                return await self._connector.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or Forbidden("the target's name does not resolve")

    async def addresses(self, host: str) -> list[str]:
        """The addresses of a host, when all of them are allowed. Raises Forbidden."""
        try:
            addresses = [str(ipaddress.ip_address(host.strip("[]")))]
        except ValueError:
            addresses = await self._resolved(host)
        if not self._allow_private and not all(
            is_public(address) and not is_own(address) for address in addresses
        ):
            raise Forbidden("the target resolves to an address that is not public")
        return addresses

    async def _resolved(self, host: str) -> list[str]:
        try:
            async with asyncio.timeout(_LOOKUP_SECONDS):
                return list(await self._resolve(host))
        except (OSError, UnicodeError) as error:  # a TimeoutError is an OSError
            raise Forbidden("the target's name does not resolve") from error


REPLY_BYTES = 64 * 1024

_KEEPALIVE_SECONDS = 4  # below the 5 s after which many servers close: a closed one costs an attempt
_HEADERS = {"user-agent": "Closeloop", "accept-encoding": "identity", "accept": "*/*"}


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What all channels share in how they send: limits, trust and the way names are resolved."""

    connections: int
    connect_seconds: float
    total_seconds: float
    allow_private: bool
    ports: frozenset[int]
    tls: ssl.SSLContext
    resolve: Resolve


class HttpSender:
    """The connections of one channel of one store, which no other channel waits for."""

    def __init__(self, url: str, limits: HttpLimits) -> None:
        parsed = httpx.URL(url)  # it knows how names beyond ASCII are written
        self._url = httpcore.URL(
            scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
        )
        self._limits = limits
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=limits.tls,
            max_connections=limits.connections,
            max_keepalive_connections=limits.connections,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=GuardedBackend(limits.resolve, allow_private=limits.allow_private),
        )
        seconds = limits.total_seconds
        self._extensions = {
            "timeout": {"connect": limits.connect_seconds, "read": seconds, "write": seconds, "pool": seconds}
        }

    async def close(self) -> None:
        await self._pool.aclose()

    async def post(self, request: Request) -> Attempt:
        """Never raises for what a receiver does. A redirect is an answer like any other, not followed."""
        started = time.monotonic()
        try:
            check_url(self._url, allow_private=self._limits.allow_private, ports=self._limits.ports)
            async with asyncio.timeout(self._limits.total_seconds):
                return await self._post(request, started)
        except Forbidden as error:
            return Attempt(None, time.monotonic() - started, error=str(error))
        except (TimeoutError, httpcore.TimeoutException):
            return Attempt(None, time.monotonic() - started, error="timeout")
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
        ) as error:
            return Attempt(None, time.monotonic() - started, error=type(error).__name__)

    async def _post(self, request: Request, started: float) -> Attempt:
        async with self._pool.stream(
            "POST",
            self._url,
            headers=[*_HEADERS.items(), *request.headers.items()],
            content=request.body,
            extensions=self._extensions,
        ) as answer:
            head = bytearray()
            async for piece in answer.aiter_stream():
                head += piece
                if len(head) >= REPLY_BYTES:
                    break  # leaving the block closes the connection
        headers = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
        accepted = 200 <= answer.status < 300
        return Attempt(
            answer.status,
            time.monotonic() - started,
            reply=printable(bytes(head)),
            error="" if accepted else f"status {answer.status}",
            retry_after_seconds=_retry_after(answer.status, headers.get(b"retry-after", "")),
            final=answer.status == 410,  # the receiver wants nothing any more
        )


def _retry_after(status: int, value: str) -> float | None:
    """Seconds or an HTTP date, of a receiver that says to wait."""
    if status not in (429, 503) or not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


class HttpOutlet:
    """A channel of Slack or of webhooks."""

    def __init__(self, build: Build, sender: HttpSender, most: int) -> None:
        self.most = most
        self._build = build
        self._sender = sender

    async def send(self, message: Message, now: datetime) -> Attempt:
        try:
            request = self._build(message, now)
        except Unbuildable as error:
            return Attempt(None, 0.0, error=str(error), final=True)
        return await self._sender.post(request)

    async def close(self) -> None:
        await self._sender.close()
