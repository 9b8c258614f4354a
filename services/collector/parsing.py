"""Parse a body with pydantic, and make a problem of what breaks a rule."""

from collections.abc import Container
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.collector.domain import InvalidInput
from shared.http import Problem
from shared.http.bodies import json_problem
from shared.http.problems import invalid

T = TypeVar("T")


def parse_body(adapter: TypeAdapter[T], raw: bytes, *, tags: Container[str] = ()) -> T:
    """The body as the adapter's type. Raises Problem 400 for what is not JSON, 422 with pointers else.

    `tags` are the kinds of a tagged union: pydantic names them in the place of a fault, and the body has no
    such place.
    """
    try:
        body: T = adapter.validator.validate_json(raw)
    except ValidationError as error:
        raise json_problem(error, tags=tags) from None
    if b"\\u0000" in raw:
        _refuse_nul(body, "")
    return body


def refused_input(error: InvalidInput) -> Problem:
    """The 422 for what a rule of the collector refuses."""
    return invalid([{"loc": error.pointer.split("/")[1:], "msg": error.detail, "type": "rule"}])


def _refuse_nul(value: Any, pointer: str) -> None:
    """Raise Problem 422 for the character U+0000 in any text below `value`: PostgreSQL cannot store it."""
    if isinstance(value, str):
        if "\0" in value:
            raise refused_input(InvalidInput(pointer, "may not hold the character U+0000"))
    elif isinstance(value, dict):
        for name, part in value.items():
            _refuse_nul(part, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _refuse_nul(part, f"{pointer}/{index}")
