"""TCP ports for the embedded parts: chosen once, kept with the data."""

import os
import random
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.errors import LocalStackError

if TYPE_CHECKING:
    import psutil

LOOPBACK = "127.0.0.1"
LOWEST = 20_000
# Below the kernel's ephemeral range. From inside that range a client that reconnects to a dead server
# sooner or later is given the server's own port as its source, connects to itself, and the server
# can no longer bind.
HIGHEST = 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(host: str, port: int, *, timeout_seconds: float = 1.0) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=timeout_seconds).close()
    except OSError:
        return False
    return True


def choose() -> int:
    """A free port. Random, so that two stacks that start together do not meet.

    `CLOSELOOP_ENGINE_PORTS` (`20000-25999`) narrows the range, for stacks that must not meet even by chance.
    """
    first, _, last = (os.environ.get("CLOSELOOP_ENGINE_PORTS") or f"{LOWEST}-{HIGHEST}").partition("-")
    for _try in range(200):
        port = random.randint(int(first), int(last))
        if is_free(port):
            return port
    raise LocalStackError(f"No free TCP port between {first} and {last}", remedy="Stop what is using them.")


def kept(path: Path, *, rather: int | None = None) -> int:
    """The port remembered in `path`, so that a restart has the same address.

    Chosen on first use: the one that everybody would look at, if it is free.
    """
    if path.exists():
        return int(path.read_text(encoding="ascii"))
    port = rather if rather and is_free(rather) else choose()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{port}\n", encoding="ascii")
    return port


def require_free(port: int, who: str, *, remedy: str) -> None:
    """Raises LocalStackError, naming the process that listens there if it can be known."""
    if is_free(port):
        return
    raise LocalStackError(f"Port {port}, which {who} needs, is taken{_named(holder(port))}", remedy=remedy)


def holder(port: int) -> "psutil.Process | None":
    """The process that listens on the port, if this user may know it."""
    import psutil  # noqa: PLC0415 - production, which reads `Home` from here, does not install it

    try:
        listening = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    for connection in listening:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    return None


def _named(process: "psutil.Process | None") -> str:
    import psutil  # noqa: PLC0415 - as above

    try:
        return f" by process {process.pid} ({process.name()})" if process else ""
    except psutil.NoSuchProcess:
        return ""
