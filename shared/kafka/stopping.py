"""End a client of aiokafka's, whatever state the broker is in."""

import asyncio
import contextlib
from typing import Protocol


class _Client(Protocol):
    async def stop(self) -> None: ...


async def stopped(client: _Client, *, within_seconds: float = 2.0) -> None:
    """Bounded, and swallowed: `stop()` may hang or raise CancelledError without a broker (#647, #1013)."""
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait({stopping}, timeout=within_seconds)
    stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        if stopping.done():
            stopping.result()
