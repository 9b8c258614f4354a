"""Read a body that pydantic checks, and say what does not fit."""

from collections.abc import Container
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.collector.domain import Fault
from shared.http import Problem
from shared.http.bodies import json_problem
from shared.http.problems import invalid

T = TypeVar("T")


def read(adapter: TypeAdapter[T], body: bytes, *, tags: Container[str] = ()) -> T:
    """Raises Problem 400 or 422. `tags`: the kinds of a union, which are no place in the body."""
    try:
        sent: T = adapter.validator.validate_json(body)
    except ValidationError as error:
        raise json_problem(error, tags=tags) from None
    if b"\\u0000" in body:
        _refuse_nul(sent, "")
    return sent


def misfit(fault: Fault) -> Problem:
    """422 for what our own rules refuse."""
    return invalid([{"loc": fault.pointer.split("/")[1:], "msg": fault.detail, "type": "rule"}])


def _refuse_nul(value: Any, pointer: str) -> None:
    """PostgreSQL cannot store the character U+0000."""
    if isinstance(value, str):
        if "\0" in value:
            raise misfit(Fault(pointer, "may not hold the character U+0000"))
    elif isinstance(value, dict):
        for name, part in value.items():
            _refuse_nul(part, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _refuse_nul(part, f"{pointer}/{index}")
