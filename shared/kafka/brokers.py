"""Where Kafka is, how to sign in there, and how a client is ended whatever state the broker is in."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer

from shared.kafka.aiokafka_internals import parts_of


@dataclass(frozen=True, slots=True)
class Brokers:
    """The addresses of Kafka's brokers, and how to sign in there. `str()` shows the addresses alone."""

    addresses: str
    """host:port, separated by commas."""
    username: str = ""
    """Empty: no sign-in. Otherwise SASL SCRAM-SHA-512."""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    """Who signs the brokers' certificates, as PEM. None: no TLS."""

    def __str__(self) -> str:
        return self.addresses

    def client_options(self) -> dict[str, Any]:
        """Arguments of every aiokafka client. Raises OSError when the file cannot be used."""
        options: dict[str, Any] = {"bootstrap_servers": self.addresses}
        if self.ca_file is not None:
            options["ssl_context"] = ssl.create_default_context(cafile=str(self.ca_file))
        if self.username:
            options |= {
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        protocol = "SSL" if self.ca_file else "PLAINTEXT"
        options["security_protocol"] = f"SASL_{protocol}" if self.username else protocol
        return options


def client_options(bootstrap: str | Brokers) -> dict[str, Any]:
    """See `Brokers.client_options`; plain addresses are brokers without TLS and sign-in."""
    return (Brokers(bootstrap) if isinstance(bootstrap, str) else bootstrap).client_options()


async def stopped(client: AIOKafkaConsumer, *, within_seconds: float = 2.0) -> None:
    """Stop a consumer within some seconds, whatever state the broker is in. Raises nothing.

    The client's `stop()` may hang or raise CancelledError without a broker (aiokafka #647, #1013). Then its
    parts are closed one by one: left alone, they would go on connecting for ever.
    """
    if await _succeeds(client.stop(), within_seconds):
        return
    for part in parts_of(client):
        await _succeeds(part.close(), within_seconds / 4)


async def closed(client: Any, *, within_seconds: float = 2.0) -> None:
    """As `stopped`, for a bare `AIOKafkaClient`."""
    await _succeeds(client.close(), within_seconds)


async def _succeeds(work: Awaitable[object], within_seconds: float) -> bool:
    task = asyncio.ensure_future(work)
    await asyncio.wait({task}, timeout=within_seconds)
    if task.cancel():
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.wait({task}, timeout=within_seconds)
    return task.done() and not task.cancelled() and task.exception() is None
