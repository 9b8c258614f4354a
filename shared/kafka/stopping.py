"""End a client of aiokafka's, whatever state the broker is in."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

from aiokafka.errors import KafkaError


async def stopped(client: Any, *, within_seconds: float = 2.0) -> None:
    """Bounded, and swallowed: `stop()` may hang or raise CancelledError without a broker (#647, #1013).

    What it did not come to is closed part by part; left alone, they would go on connecting for ever.
    """
    if await _ended_well(client.stop(), within_seconds):
        return
    parts = (getattr(client, name, None) for name in ("_fetcher", "_sender", "_client", "client"))
    for part in filter(None, parts):
        await _ended_well(part.close(), within_seconds / 4)
    if accumulator := getattr(client, "_message_accumulator", None):
        accumulator.fail_all(KafkaError("stopped"))  # else its flush waits for ever


async def closed(client: Any, *, within_seconds: float = 2.0) -> None:
    """As `stopped`, for a bare client: its connections, and no loop of its own."""
    await _ended_well(client.close(), within_seconds)


async def _ended_well(work: Awaitable[object], within_seconds: float) -> bool:
    task = asyncio.ensure_future(work)
    await asyncio.wait({task}, timeout=within_seconds)
    if task.cancel():
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.wait({task}, timeout=within_seconds)
    return task.done() and not task.cancelled() and task.exception() is None
