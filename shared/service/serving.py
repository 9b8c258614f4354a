"""Run an ASGI application, and the loops beside it, until a signal says stop; the command line around it."""

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import uvicorn
import uvloop
from pydantic import ValidationError

from shared.config import ConfigError
from shared.db import migrations
from shared.ops import logs, metrics, tracing
from shared.ops.health import cancel_and_wait
from shared.ops.logs import log
from shared.ops.settings import ListenSettings, PlatformSettings

_log = log("ops")

ServedPart = Literal["api", "consumer"]

VERSION = "0.1.0"


class Loops:
    """The named tasks beside the API of a service.

    One that fails or ends by itself brings the process down: a supervisor starts a fresh one.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._may_end: set[str] = set()
        self._ending = False
        self.failed: str | None = None

    def start(self, name: str, loop: Coroutine[Any, Any, None], *, may_end: bool = False) -> None:
        """Start a loop. `may_end`: it may return, and only its failure brings the process down."""
        task = asyncio.create_task(loop, name=name)
        if may_end:
            self._may_end.add(name)
        task.add_done_callback(self._done)
        self._tasks[name] = task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        if self._ending:
            return
        # Only `close` cancels a loop. One that ends by another cancellation, such as a library's, has failed.
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if task.get_name() in self._may_end and error is None:
            return
        self.failed = task.get_name()
        _log.critical("loop.ended", task=task.get_name(), exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)

    async def finish(self, *names: str, within_seconds: float) -> None:
        """Wait for loops that were asked to stop, at most so long; `close` cancels the rest."""
        self._ending = True
        tasks = {self._tasks[name] for name in names if name in self._tasks}
        if tasks:
            await asyncio.wait(tasks, timeout=within_seconds)

    async def close(self) -> None:
        """Cancel the loops that still run, and wait for them, at most 1 s."""
        self._ending = True
        await cancel_and_wait(*self._tasks.values(), within_seconds=1)


def serve(
    service: str,
    build: Callable[[Loops], Any],
    *,
    protocol: Callable[..., asyncio.Protocol],
    host: str,
    port: int,
    log_level: str,
    stop_grace_seconds: float,
) -> int:
    """Serve the application that `build(loops)` returns, until a signal.

    Returns the process's exit code: 0 after a signal, 1 after a failed loop. Requests get a third of the
    grace to finish, the lifespan the rest.
    """
    logs.configure(service, log_level)
    metrics.BUILD_INFO.labels(service, VERSION).set(1)
    metrics.expect_service(service)
    loops = Loops()
    _tame_garbage_collection()
    # uvicorn handles the signals while it serves, then raises them again; by then everything is closed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    async def until_stopped() -> bool:
        server = uvicorn.Server(
            uvicorn.Config(
                build(loops),  # inside the loop: clients of Kafka and PostgreSQL belong to it
                host=host,
                port=port,
                http=protocol,  # type: ignore[arg-type]  # uvicorn calls it, and asks no more of it
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=max(1, int(stop_grace_seconds / 3)),
                proxy_headers=False,
            )
        )
        await server.serve()
        return server.started

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        started = runner.run(until_stopped())
    return 1 if loops.failed or not started else 0


def _tame_garbage_collection() -> None:
    """Run the garbage collector seldom, and never over the modules that were imported.

    A batch makes ten thousand objects, which reference counts free; with the default thresholds the collector
    walked through all objects of the libraries again and again and took most of the CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def run(
    service: str,
    build: Callable[[PlatformSettings, Any, Loops, ServedPart | None], Any],
    listen: type[ListenSettings],
    protocol: Callable[[PlatformSettings, ListenSettings], Callable[..., asyncio.Protocol]],
    argv: list[str] | None = None,
) -> int:
    """The command line of every service; returns the exit code. `protocol` returns what makes the protocol
    of each HTTP connection.

    A setting that is missing or wrong, or a mistake in the configuration, is written to stderr: exit code 2.
    """
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="run the API and the consumer")
    serving.add_argument("--only", choices=("api", "consumer"), help="run one of the two")
    commands.add_parser("migrate", help="bring this service's schema up to date")
    arguments = parser.parse_args(argv)
    try:
        platform, settings = PlatformSettings(), listen()
        if arguments.command == "migrate":
            url = platform.database_url.get_secret_value()
            for package in ("shared.access", f"services.{service}"):
                asyncio.run(migrations.migrate(url, package))
            return 0
        tracing.start(platform, service, VERSION)
        try:
            return serve(
                service,
                lambda loops: build(platform, settings, loops, arguments.only),
                protocol=protocol(platform, settings),
                host=settings.host,
                port=settings.port,
                log_level=platform.log_level,
                stop_grace_seconds=platform.stop_grace_seconds,
            )
        finally:
            tracing.stop()
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in fault["loc"]).upper()
            why = str(fault["msg"]).removeprefix("Value error, ")
            sys.stderr.write(f"{service}: the setting {name}: {why}\n")
        return 2
    except ConfigError as error:
        sys.stderr.write(f"{service}: {error}\n")
        return 2
