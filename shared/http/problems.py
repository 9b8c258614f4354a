"""Errors as RFC 9457 `application/problem+json`, without a value that was sent, and at most 4 KB large."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope, Send

from shared.db import is_transient
from shared.ops.logs import log

_log = log("web")

_MOST_ERRORS = 20
_LONGEST_POINTER = 80
_LARGEST_BODY_BYTES = 4000


class Problem(Exception):
    """An error for the client. A route, or what it calls, raises it, and the client gets it as it is.

    `type` is a short name for programs; `extra` adds members that belong to this type.
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - RFC 9457's own word
        detail: str,
        *,
        errors: Iterable[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(type)
        self.status = status
        self.type = type
        self.detail = detail
        self.errors = list(islice(errors, _MOST_ERRORS))
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self) -> bytes:
        members: dict[str, Any] = {
            "type": f"urn:closeloop:problem:{self.type}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }
        left = _LARGEST_BODY_BYTES - len(orjson.dumps(members)) - len(',"errors":[]')
        shown = []
        for error in self.errors:
            left -= len(orjson.dumps(error)) + 1
            if left < 0:
                break
            shown.append(error)
        if shown:
            members["errors"] = shown
        return orjson.dumps(members)

    def response(self) -> Response:
        return Response(self.body(), self.status, headers=self.headers, media_type="application/problem+json")


async def send_problem(
    problem: Problem,
    send: Send,
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    before_end: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Send a problem from plain ASGI.

    `before_end` is awaited when the whole body was sent, before the message that ends the response: after
    that the server may close the connection.
    """
    body = problem.body()
    start = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": start})
    if before_end is not None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await before_end()
        body = b""
    await send({"type": "http.response.body", "body": body})


def pointer(location: Iterable[Any]) -> str:
    """The JSON pointer (RFC 6901) of a place, cut short, without characters that a terminal cannot show."""
    # A last part `[key]` of pydantic's means that the name itself is wrong, and not its value.
    parts = (str(part)[: _LONGEST_POINTER + 1] for part in location if part != "[key]")
    text = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)[: _LONGEST_POINTER + 1]
    clean = "".join(c if c.isprintable() else "?" for c in text.encode("utf-8", "replace").decode())
    return clean if len(clean) <= _LONGEST_POINTER else clean[:_LONGEST_POINTER] + "…"


def unavailable(detail: str, *, retry_after_seconds: int = 2, **extra: Any) -> Problem:
    """503: it is unknown whether the work was done; the client may safely send it again."""
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(retry_after_seconds)}, **extra)


def invalid(faults: Iterable[Any]) -> Problem:
    """422 with the faults that pydantic found, which are the items of `error.errors(...)`."""
    errors = [
        {"pointer": pointer(fault["loc"]), "detail": _detail(fault)} for fault in islice(faults, _MOST_ERRORS)
    ]
    return Problem(422, "invalid", "The request does not fit: see errors.", errors=errors)


def not_one_of(names: Iterable[str], kind: str, pointer: str) -> Problem:
    """422 for a name that is none of these, which it lists. `kind`: what they name, such as "tier"."""
    errors = [{"pointer": pointer, "detail": f"is one of {', '.join(names)}"}]
    return Problem(422, "invalid", f"There is no such {kind}.", errors=errors)


def _detail(fault: Any) -> str:
    text = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "union_tag_invalid":  # the only message of pydantic that quotes what was sent
        text = f"Input should be one of {text.rpartition('expected tags: ')[2]}"
    return text[:200]


async def on_problem(_: Request, problem: Problem) -> Response:
    return problem.response()


async def on_invalid_parameter(_: Request, error: RequestValidationError) -> Response:
    return invalid(error.errors()).response()


async def on_http_error(_: Request, error: HTTPException) -> Response:
    details = {404: "There is nothing at this address.", 405: "This address does not take that method."}
    problem = Problem(
        error.status_code,
        HTTPStatus(error.status_code).name.lower().replace("_", "-"),
        details.get(error.status_code, HTTPStatus(error.status_code).phrase),
        headers=dict(error.headers or {}),
    )
    return problem.response()


def crashed(error: Exception, scope: Scope) -> Problem:
    """The problem of an exception that nobody caught: 503 if PostgreSQL is away, else 500.

    Its reference leads to the line in the log.
    """
    route = getattr(scope.get("route"), "path", "")
    if is_transient(error):
        _log.warning("request.put_off", exc_info=error, route=route)
        return unavailable("The database does not answer right now. Try again.")
    _log.error("request.failed", exc_info=error, route=route)
    return Problem(
        500,
        "internal",
        "Something broke on our side. Nothing you sent was lost if it was accepted before.",
        reference=scope.get("closeloop.correlation_id", ""),
    )


HANDLERS: dict[int | type[Exception], Any] = {
    Problem: on_problem,
    RequestValidationError: on_invalid_parameter,
    HTTPException: on_http_error,
}
