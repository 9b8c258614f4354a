"""Errors as RFC 9457 `application/problem+json`: never a value that was sent, never over 4 KB."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.db import is_transient
from shared.ops.logs import log

_log = log("web")

_MOST_ERRORS = 20
_LONGEST_POINTER = 80


class Problem(Exception):
    """Raise it anywhere below a route; the client gets it as it is.

    `type` is a short name that a program can switch on; `extra` adds members of the problem's type.
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
        self.errors = list(errors)[:_MOST_ERRORS]
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
        if self.errors:
            members["errors"] = self.errors
        return orjson.dumps(members)

    def response(self) -> Response:
        return Response(self.body(), self.status, headers=self.headers, media_type="application/problem+json")


def pointer(location: Iterable[Any]) -> str:
    """A JSON pointer (RFC 6901), cut short and without anything that JSON or a terminal cannot show."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    text = "".join(f"/{part}" for part in parts)
    clean = "".join(c if c.isprintable() else "?" for c in text.encode("utf-8", "replace").decode())
    return clean if len(clean) <= _LONGEST_POINTER else clean[:_LONGEST_POINTER] + "…"


def unavailable(detail: str, *, retry_after_seconds: int = 2, **extra: Any) -> Problem:
    """503: it is unknown whether the work was done, and a repeat is safe."""
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(retry_after_seconds)}, **extra)


def invalid(faults: Iterable[Any]) -> Problem:
    """422 for pydantic's faults (`error.errors(...)` items)."""
    errors = [
        {"pointer": pointer(fault["loc"]), "detail": str(fault["msg"]).removeprefix("Value error, ")[:200]}
        for fault in faults
    ]
    return Problem(422, "invalid", "The request does not fit: see errors.", errors=errors)


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


async def on_crash(request: Request, error: Exception) -> Response:
    """PostgreSQL away: 503, try again. Else a fault of ours: the reference leads to the log line."""
    if is_transient(error):
        _log.warning("request.put_off", exc_info=error, route=request.scope.get("closeloop.route", ""))
        return unavailable("The database does not answer right now. Try again.").response()
    reference = request.scope.get("closeloop.correlation_id", "")
    _log.error("request.failed", exc_info=error, route=request.scope.get("closeloop.route", ""))
    return Problem(
        500,
        "internal",
        "Something broke on our side. Nothing you sent was lost if it was accepted before.",
        reference=reference,
    ).response()


HANDLERS: dict[int | type[Exception], Any] = {
    Problem: on_problem,
    RequestValidationError: on_invalid_parameter,
    HTTPException: on_http_error,
    Exception: on_crash,
}
