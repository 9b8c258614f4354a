"""The loops that run beside the API of a service. If one ends by itself, the process ends."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

from shared.ops.health import ended
from shared.ops.logs import log

_log = log("ops")


class Loops:
    """Named tasks. A loop that fails brings the process down: a supervisor starts a fresh one."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._may_end: set[str] = set()
        self._ending = False
        self.failed: str | None = None

    def start(self, name: str, loop: Coroutine[Any, Any, None], *, may_end: bool = False) -> None:
        """`may_end`: the task has an end; only its failure brings the process down."""
        task = asyncio.create_task(loop, name=name)
        if may_end:
            self._may_end.add(name)
        task.add_done_callback(self._done)
        self._tasks[name] = task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        if self._ending:
            return
        # Nobody cancels a loop but us, at the end: one that lets a cancellation of its own through is dead.
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if task.get_name() in self._may_end and error is None:
            return
        self.failed = task.get_name()
        _log.critical("loop.ended", task=task.get_name(), exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)

    async def finish(self, *names: str, within_seconds: float) -> None:
        """Wait for loops that were asked to stop; cancel those that take longer."""
        self._ending = True
        tasks = {self._tasks[name] for name in names if name in self._tasks}
        if tasks:
            await asyncio.wait(tasks, timeout=within_seconds)

    async def close(self) -> None:
        """Cancel what still runs, and wait for it, bounded."""
        self._ending = True
        await ended(*self._tasks.values(), within_seconds=1)
