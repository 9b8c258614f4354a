"""What the supervisor needs of a part: Kafka, PostgreSQL and each service have it."""

from pathlib import Path
from typing import Protocol

from deploy.local.process import ChildProcess


class Part(Protocol):
    """One process of the product. The verbs block and are called from one thread at a time."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""

    @property
    def exit_code(self) -> int | None:
        """The code it ended with (negative: a signal)."""

    @property
    def log(self) -> Path:
        """The file that its output is appended to."""

    def end_leftover(self) -> None:
        """End the process of an earlier supervisor that died without cleaning up."""

    def start(self) -> None:
        """Start it; returns before it is ready."""

    def wait_ready(self, timeout_seconds: float) -> None:
        """Block until it is ready. LocalStackError if it ends or the time is up."""

    def stop(self) -> None:
        """Ask it to end, wait a bounded time, then SIGKILL."""

    def kill(self) -> None:
        """SIGKILL."""


class ChildPart:
    """A part that is one child process."""

    _process: ChildProcess

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The code it ended with; None while it runs."""
        return self._process.exit_code

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self._process.log

    def end_leftover(self) -> None:
        """End the process of an earlier supervisor, if it still runs."""
        self._process.end_leftover()
