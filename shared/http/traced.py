"""A span for each request, around everything else, where tracing is on."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.gatekeeper import PROBES
from shared.http.whole_reply import WHOLE_REPLY
from shared.ops import tracing
from shared.ops.tracing import Kind, names

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def traced(app: ASGIApp, *, route: str) -> ASGIApp:
    """The application of one route with its spans, or, while tracing is off, itself."""
    return TracedRequests(app, route=route) if tracing.started() else app


class TracedRequests:
    """Whoever is inside finds the span's own `traceparent` in the head of the request, and passes it on.

    Named by the route's template: a path may hold what a customer is called by.
    """

    def __init__(self, app: ASGIApp, *, route: str = "") -> None:
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        sent = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
        with tracing.span(method, Kind.SERVER, sent, {names.HTTP_METHOD: method}) as span:
            others = [header for header in scope["headers"] if header[0] != b"traceparent"]
            scope["headers"] = [*others, (b"traceparent", span.traceparent.encode())]
            scope.pop(WHOLE_REPLY, None)

            async def note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status: int = message["status"]
                    span.put({names.HTTP_STATUS: status})
                    if status >= 500:
                        span.fail(str(status))
                await send(message)

            try:
                await self._app(scope, receive, note)
            finally:
                if route := self._route or str(getattr(scope.get("route"), "path", "")):
                    span.rename(f"{method} {route}")
                    span.put({names.HTTP_ROUTE: route})
