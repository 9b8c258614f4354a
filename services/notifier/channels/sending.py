"""One attempt over HTTP: bounded in time and size, no redirects, no proxies."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx

from services.notifier.channels.request import Request
from services.notifier.channels.target import Forbidden, check_target

REPLY_BYTES = 64 * 1024
REPLY_SHOWN = 256

_KEEPALIVE_SECONDS = 4  # below the 5 s after which many servers close: a closed one costs an attempt


@dataclass(frozen=True, slots=True)
class Attempt:
    """How it went. `status` of None: no answer came, `error` says why."""

    status: int | None
    seconds: float
    reply: str = ""
    error: str = ""
    retry_after_seconds: float | None = None

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants nothing any more."""
        return self.status == 410


class Sender:
    """One pool of connections for all channels."""

    def __init__(
        self,
        *,
        connections: int,
        connect_seconds: float,
        total_seconds: float,
        allow_private: bool,
    ) -> None:
        self._total = total_seconds
        self._allow_private = allow_private
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(total_seconds, connect=connect_seconds),
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=_KEEPALIVE_SECONDS,
            ),
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "Closeloop", "accept-encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(self, url: str, request: Request) -> Attempt:
        """Never raises for what a receiver does. A redirect is an answer like any other, not followed."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._total):
                await check_target(url, allow_private=self._allow_private)
                return await self._post(url, request, started)
        except Forbidden as error:
            return Attempt(None, time.monotonic() - started, error=str(error))
        except TimeoutError:
            return Attempt(None, time.monotonic() - started, error="timeout")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Attempt(None, time.monotonic() - started, error=type(error).__name__)

    async def _post(self, url: str, request: Request, started: float) -> Attempt:
        async with self._client.stream("POST", url, content=request.body, headers=request.headers) as answer:
            head = bytearray()
            async for piece in answer.aiter_raw():
                head += piece
                if len(head) >= REPLY_BYTES:
                    break  # leaving the block closes the connection
            return Attempt(
                answer.status_code,
                time.monotonic() - started,
                reply=_printable(bytes(head)),
                error="" if answer.is_success else f"status {answer.status_code}",
                retry_after_seconds=_retry_after(answer),
            )


def _printable(raw: bytes) -> str:
    text = raw[: 4 * REPLY_SHOWN].decode(errors="replace")
    return "".join(c for c in text if c.isprintable())[:REPLY_SHOWN]


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds or an HTTP date, of a receiver that says to wait."""
    value = answer.headers.get("retry-after", "")
    if answer.status_code not in (429, 503) or not value:
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
