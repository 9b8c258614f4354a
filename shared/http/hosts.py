"""Refuses requests for a host that is not ours, where the environment says which are."""

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http.gatekeeper import PROBES
from shared.http.headers import SAFE
from shared.http.problems import Problem, send_problem


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or self._knows(scope):
            await self._app(scope, receive, send)
            return
        detail = "This server does not answer for the host of this request. Use its public address."
        await send_problem(Problem(421, "misdirected", detail), send, headers=SAFE)

    def _knows(self, scope: Scope) -> bool:
        sent = [value for name, value in scope["headers"] if name == b"host"]
        return len(sent) == 1 and _name(sent[0]) in self._hosts


def _name(host: bytes) -> str:
    """The name of a `Host` header, without its port."""
    text = host.decode("latin-1").lower()
    name = text.partition("]")[0] + "]" if text.startswith("[") else text.partition(":")[0]
    return name.rstrip(".")
