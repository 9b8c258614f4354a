"""Refuses requests for a host that is not ours, where the environment says which are."""

import re
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http.gatekeeper import PROBES
from shared.http.headers import SAFE
from shared.http.problems import Problem, send_problem
from shared.ops import metrics
from shared.ops.logs import log

_log = log("web")

_SILENT_SECONDS = 60
_SHOWN = re.compile(r"[a-z0-9_.:\[\]-]{1,100}")


def for_hosts(app: ASGIApp, hosts: frozenset[str]) -> ASGIApp:
    """The application for requests to these hosts; itself when there are none, for requests to any."""
    return KnownHosts(app, hosts=hosts) if hosts else app


class KnownHosts:
    """Middleware: 421 for a request whose `Host` is none of these names.

    Probes and scrapes come by the address of a pod, and so any host may ask for those.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts
        self._refused = 0
        self._silent_until = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or self._knows(scope):
            await self._app(scope, receive, send)
            return
        metrics.HTTP_REQUESTS.labels(scope["method"], "unmatched", "421").inc()
        self._say(scope)
        detail = (
            "This server does not answer for the host of this request. Use its public address; "
            "whoever runs it names further hosts in CLOSELOOP_HOSTS."
        )
        await send_problem(Problem(421, "misdirected", detail), send, headers=SAFE)

    def _knows(self, scope: Scope) -> bool:
        sent = _sent(scope)
        return len(sent) == 1 and sent[0] in self._hosts

    def _say(self, scope: Scope) -> None:
        """Log at most once a minute: anybody can send any number of such requests."""
        self._refused += 1
        if (now := time.monotonic()) < self._silent_until:
            return
        names = _sent(scope)
        host = names[0] if len(names) == 1 and _SHOWN.fullmatch(names[0]) else "none that can be shown"
        detail = "Neither a public address nor CLOSELOOP_HOSTS names this host"
        _log.warning("host.refused", host=host, count=self._refused, detail=detail)
        self._refused, self._silent_until = 0, now + _SILENT_SECONDS


def _sent(scope: Scope) -> list[str]:
    """The names of all `Host` headers of a request."""
    return [_name(value) for name, value in scope["headers"] if name == b"host"]


def _name(host: bytes) -> str:
    """The name of a `Host` header, without its port."""
    text = host.decode("latin-1").lower()
    name = text.partition("]")[0] + "]" if text.startswith("[") else text.partition(":")[0]
    return name.rstrip(".")
