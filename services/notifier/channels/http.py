"""One attempt over HTTP: bounded in time and size, no redirects, no proxies, to checked addresses only."""

import asyncio
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpcore
import httpx

from services.notifier.channels.attempt import Attempt, printable
from services.notifier.channels.request import Request
from services.notifier.channels.target import Forbidden, GuardedBackend, Resolve, check_url

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
    """The connections of one channel of one store; nobody else's hang in them."""

    def __init__(self, url: str, limits: HttpLimits) -> None:
        given = httpx.URL(url)  # it knows how names beyond ASCII are written
        self._url = httpcore.URL(
            scheme=given.raw_scheme, host=given.raw_host, port=given.port, target=given.raw_path
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
