"""What the routes of all rooms share: caller, body, parameters, and the problems that are documented."""

from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.security import HTTPBearer
from pydantic import TypeAdapter

from services.collector.callers import Caller, Callers
from services.collector.domain import InvalidInput
from services.collector.parsing import parse_body, refused_input
from shared.http.bodies import T, check_json_type

KEY = HTTPBearer(auto_error=False, description="A key, or an amend token where one will do")
"""How a caller shows who it is, for the documentation."""

IdempotencyKey = Annotated[str | None, Header(description="The id, when the body has none")]

_MEANINGS = {
    400: "Not JSON in UTF-8",
    401: "No key, or one that is unknown, expired or revoked",
    403: "The key may not do this, or not from this origin",
    404: "A store that is not the key's",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "Not application/json",
    422: "The body does not fit; `errors` says where",
    429: "The key or, with a public one, this address sends too much; `Retry-After` says when to go on",
    431: "The head of the request is too large",
    503: "Nobody knows whether it was done, or too much at once: send the same again after `Retry-After`",
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:closeloop:problem:invalid"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "response_id": {"type": "string", "description": "With 503: the id to send it again with"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {"application/problem+json": {"schema": _PROBLEM}}}
    for status, meaning in _MEANINGS.items()
}
"""The responses of every route but its success, for the documentation."""


def traceparent_of(request: Request) -> str:
    """The W3C trace context that was sent, or the one that the gatekeeper made for this request."""
    return str(request.scope["closeloop.traceparent"])


async def server_of(request: Request, store: str | None) -> Caller:
    """The caller of a route for servers alone: its key is secret and may write. Raises Problem."""
    callers: Callers = request.app.state.callers
    return await callers.find_server(request.headers.get("authorization", ""), store, request.client)


async def admin_of(request: Request, store: str | None) -> Caller:
    """The caller of a route for administrators: a secret key with the scope `admin`. Raises Problem."""
    callers: Callers = request.app.state.callers
    return await callers.find_admin(request.headers.get("authorization", ""), store, request.client)


async def body_of(request: Request, adapter: TypeAdapter[T], *, tags: frozenset[str] = frozenset()) -> T:
    """The parsed body of a request. Raises Problem 400, 415 or 422. `tags`: see `parse_body`."""
    check_json_type(request.headers.get("content-type", ""))
    return parse_body(adapter, await request.body(), tags=tags)


async def on_invalid_input(_: Request, error: InvalidInput) -> Response:
    """FastAPI's handler of InvalidInput: answer 422."""
    return refused_input(error).response()
