"""Adds pages to an application: sign-in, account, assets, and a page in the place of every problem."""

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.headers import guard
from shared.ops.logs import log
from shared.pages.account import account_routes, link_routes
from shared.pages.pages import Pages
from shared.pages.people import login_address
from shared.pages.sign_in import SignIn, sign_in_routes

_log = log("web")

# Addresses for programs, whatever they accept.
_NOT_OURS = ("/v1/", "/docs", "/openapi", "/livez", "/readyz", "/metrics")

_HEADINGS = {
    "role": ("Not allowed", "Your role does not open this page"),
    "no-store": ("No store", "You do not work for a store yet"),
    "form-expired": ("Not sent", "This form is too old"),
    "signed-out": ("Signed out", "You are signed out"),
}
_BY_STATUS = {
    403: ("Not allowed", "This is not allowed"),
    404: ("Not found", "There is no such page"),
    405: ("Not found", "There is no such page"),
    413: ("Too large", "This is too large"),
    421: ("Not here", "This is not the address of this product"),
    429: ("Wait", "Too many tries"),
    500: ("Something broke", "Something broke on our side"),
    503: ("Not now", "This cannot be answered right now"),
}
_TEXTS = {
    404: "The address may be mistyped, or what it showed was erased at a customer’s request.",
    405: "The address may be mistyped, or what it showed was erased at a customer’s request.",
    421: "Open its public address. If you do not know it, ask whoever runs it.",
    500: "Answers keep coming in and none is lost: collecting them does not depend on this page. "
    "Try again in a moment. If it stays, give your administrator this reference.",
}


def add_pages(app: FastAPI, pages: Pages) -> None:
    """Add sign-in, account, assets and the `PageMiddleware` to an application, before it starts."""
    app.state.pages = pages
    app.state.visitors = pages.visitors
    app.include_router(pages.assets.routes())
    sign_in = SignIn(pages.visitors)
    for routes in (sign_in_routes, link_routes, account_routes):
        app.include_router(routes(pages, sign_in))
    app.add_middleware(PageMiddleware, pages=pages)


class PageMiddleware:
    """Middleware around everything: shows problems to browsers as pages."""

    def __init__(self, app: ASGIApp, *, pages: Pages) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_NOT_OURS):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []
        body = bytearray()

        async def sending(message: Message) -> None:
            starts = message["type"] == "http.response.start"
            if starts and _is_problem(message) and wants_page(scope):
                held.append(message)
                return
            if not held:
                await send(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                await self._show(scope, receive, send, held[0], bytes(body))

        await self._app(scope, receive, sending)

    async def _show(self, scope: Scope, receive: Receive, send: Send, start: Message, body: bytes) -> None:
        request = Request(scope, receive)
        try:
            response = refusal(self._pages, request, orjson.loads(body))
        except Exception as error:  # the error page itself is broken: send the problem as it was
            _log.error("page.failed", exc_info=error)
            await send(start)
            await send({"type": "http.response.body", "body": body})
            return
        sent = Headers(raw=start["headers"])
        for name in ("retry-after", "traceparent", "www-authenticate", "connection", "allow"):
            if name in sent:
                response.headers[name] = sent[name]
        message: Message = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
        guard(message)
        await send(message)
        await send({"type": "http.response.body", "body": response.body})


def refusal(pages: Pages, request: Request, problem: dict[str, Any]) -> Response:
    """The page of a problem; for somebody who opened a page signed out, a redirect to sign-in."""
    status, kind = problem["status"], problem["type"].rsplit(":", 1)[-1]
    if kind == "signed-out" and request.method in ("GET", "HEAD"):
        return RedirectResponse(login_address(request), 303)
    short, heading = _HEADINGS.get(kind) or _BY_STATUS.get(status, (problem["title"], problem["title"]))
    return pages.html(
        request,
        "error.html",
        status,
        kind=kind,
        short=short,
        heading=heading,
        text=_TEXTS.get(status, problem["detail"]),
        reference=problem.get("reference", ""),
        repeatable=request.method == "GET",
    )


def wants_page(scope: Scope) -> bool:
    """Whether a browser opens this address; scripts, streams and programs do not ask for HTML."""
    return "text/html" in Headers(scope=scope).get("accept", "")


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "").startswith("application/problem+json")
