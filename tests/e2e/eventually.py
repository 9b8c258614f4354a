"""Wait for a condition that can be observed, never for a time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1


async def eventually(look: Callable[[], Awaitable[T] | T], *, within_seconds: float = 30) -> T:
    """The first truthy value that `look` gives.

    `look` may also fail by an assertion until then; at the deadline its last failure is the reason.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        found: object = None
        try:
            found = look()
            if inspect.isawaitable(found):
                found = await found
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        else:
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_seconds:.0f} s; the last look gave {found!r}")
        await asyncio.sleep(POLL_SECONDS)
