"""Ports for what tests start: each worker of a run in two processes has a range of its own.

A port is free when it is chosen and taken a moment later: two that choose from one range meet now and then.
"""

import os
import socket
from random import randrange

FIRST, LAST = 10_000, 19_000
"""Below the engines' (`deploy/local/ports.py`)."""
ENGINES = (20_000, 32_000)
MOST_WORKERS = 4


def share(first: int, last: int) -> tuple[int, int]:
    """This worker's part of a range; all of it where there is one process."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker:
        return first, last
    size = (last - first) // MOST_WORKERS
    begin = first + size * (int(worker.removeprefix("gw")) % MOST_WORKERS)
    return begin, begin + size - 1


def free_row(length: int) -> int:
    """The first of so many free ports."""
    first, last = share(FIRST, LAST)
    while True:
        port = randrange(first, last - length)
        if all(_is_free(port + place) for place in range(length)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
