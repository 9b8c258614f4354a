"""A span for each request, around everything else, where tracing is on."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.gatekeeper import PROBES
from shared.http.whole_reply import WHOLE_REPLY
from shared.ops import tracing
from shared.ops.tracing import Kind, names

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def traced(app: ASGIApp, *, route: str) -> ASGIApp:
    """The application of one route with spans around it; itself while tracing is off."""
    return TracedRequests(app, route=route) if tracing.started() else app


class TracedRequests:
    """A span for each request. The application finds the span's `traceparent` in the request's headers.

    The span is named by the route's template, because a path may hold a customer's name.
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
