"""Run an ASGI application until a signal says stop, within bounds."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any, Literal

import uvicorn
import uvloop

from shared.ops import logs, metrics
from shared.ops.loops import Loops

Only = Literal["api", "consumer"]

VERSION = "0.1.0"


def serve(
    service: str,
    build: Callable[[Loops], Any],
    *,
    host: str,
    port: int,
    log_level: str,
    stop_grace_seconds: float,
) -> int:
    """Serve `build(loops)` and return the process's exit code: 0 after a signal, 1 after a failed loop.

    A request gets half of the grace to finish, the lifespan the other half.
    """
    logs.configure(service, log_level)
    metrics.BUILD_INFO.labels(service, VERSION).set(1)
    loops = Loops()
    config = uvicorn.Config(
        build(loops),
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, int(stop_grace_seconds / 2)),
        backlog=2048,
        h11_max_incomplete_event_size=32 * 1024,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    # uvicorn handles the signals while it serves, then raises them again; by then all is closed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve())
    return 1 if loops.failed or not server.started else 0
