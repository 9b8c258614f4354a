"""Read and check a JSON body. What was sent is never repeated in an error."""

from collections.abc import Awaitable, Callable, Container
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AfterValidator, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema

from shared.feedback.moments import InvalidMoment, MissingOffset, parse_moment
from shared.http.problems import Problem, invalid

T = TypeVar("T")


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("may not hold the character U+0000")
    return text


Text = Annotated[str, AfterValidator(_no_nul)]
"""Text that PostgreSQL can store: without U+0000."""


def _moment(sent: object) -> datetime:
    if not isinstance(sent, str):
        raise ValueError("must be text such as 2026-11-22T10:00:00+01:00 (RFC 3339)")  # noqa: TRY004 - a 422
    try:
        return parse_moment(sent)
    except MissingOffset:
        raise ValueError("needs a zone: end it with Z or an offset such as +01:00") from None
    except InvalidMoment:
        raise ValueError("is not a time such as 2026-11-22T10:00:00+01:00 (RFC 3339)") from None


Moment = Annotated[
    datetime, PlainValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A time of RFC 3339 with its offset, in a body."""


def check_json_type(content_type: str) -> None:
    """Raises Problem 415 unless the body claims to be JSON."""
    media = content_type.split(";", 1)[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise Problem(415, "unsupported-media-type", "Send the body as application/json.")


def parse_json(adapter: TypeAdapter[T], raw: bytes) -> T:
    """Read a body. Raises Problem: 400 when it is not JSON, 422 with pointers when it does not fit."""
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        raise json_problem(error) from None


def json_problem(error: ValidationError, *, tags: Container[str] = ()) -> Problem:
    """The problem of an invalid body: 400 when it is not JSON, 422 with pointers when it does not fit.

    `tags`: the kinds of a tagged union. pydantic puts them into the place of an error; the body has none.
    """
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    if any(fault["type"] == "json_invalid" for fault in faults):
        return Problem(400, "not-json", "The body is not valid JSON in UTF-8.")
    for fault in faults:
        if fault["loc"] and fault["loc"][0] in tags:
            fault["loc"] = fault["loc"][1:]
    return invalid(faults)


async def read_json(request: Request, adapter: TypeAdapter[T]) -> T:
    """Read the body of a request. Raises Problem 415, 400 or 422."""
    check_json_type(request.headers.get("content-type", ""))
    return parse_json(adapter, await request.body())


def json_body(model: type[T]) -> Callable[[Request], Awaitable[T]]:
    """A dependency of FastAPI that reads a body: `order: Annotated[OrderIn, Depends(json_body(OrderIn))]`."""
    adapter: TypeAdapter[T] = TypeAdapter(model)

    async def read(request: Request) -> T:
        return await read_json(request, adapter)

    return read


def request_body(model: Any, example: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body itself. `model`: any type that pydantic knows."""
    schema = TypeAdapter(model).json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, definitions), "example": example}},
        }
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
        return {key: _inlined(value, definitions) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inlined(value, definitions) for value in schema]
    return schema
