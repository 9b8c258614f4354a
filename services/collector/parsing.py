"""Parse a body with pydantic, and make a problem of what breaks a rule."""

import re
from collections.abc import Container, Iterator
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
        body = _validated(adapter, raw)
    except ValidationError as error:
        raise json_problem(error, tags=tags) from None
    if b"\\u0000" in raw:
        _refuse_nul(body)
    return body


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape of JSON: a whole surrogate pair, half of one (the group), or any other."""


def _validated(adapter: TypeAdapter[T], raw: bytes) -> T:
    """The body. Half of a surrogate pair, as some keyboards and cut texts leave it, becomes U+FFFD: it costs
    one character, and not the answer. Raises ValidationError, and Problem 422 for half of one in an id."""
    try:
        body: T = adapter.validator.validate_json(raw)
    except ValidationError as error:
        (fault,) = error.errors(include_url=False, include_context=False, include_input=False)[:1]
        whole = _without_halves(raw) if fault["type"] == "json_invalid" else None
        if whole is None:
            raise
        body = adapter.validator.validate_json(whole)
        _refuse_replaced_ids(body)
    return body


def _without_halves(raw: bytes) -> bytes | None:
    """The JSON with U+FFFD in place of each half of a surrogate pair; None if it has none."""
    whole = _ESCAPE.sub(lambda escape: rb"\ufffd" if escape.group(1) else escape.group(), raw)
    return whole if whole != raw else None


def refused_input(error: InvalidInput) -> Problem:
    """The 422 for what a rule of the collector refuses."""
    return invalid([{"loc": error.pointer.split("/")[1:], "msg": error.detail, "type": "rule"}])


_IDS = frozenset({"id", "response_id", "refund_id", "email"})
"""The fields of a body that name something. Segments may have the same names, and name nothing."""


def _refuse_replaced_ids(body: Any) -> None:
    """Raise Problem 422 for U+FFFD in an id or an e-mail address: two of them might become one."""
    for pointer, text in _texts(body):
        if "\ufffd" not in text or pointer.startswith("/segments/"):
            continue
        if pointer.rpartition("/")[2] in _IDS:
            raise refused_input(InvalidInput(pointer, "holds half of a surrogate pair"))


def _refuse_nul(body: Any) -> None:
    """Raise Problem 422 for the character U+0000 in any text: PostgreSQL cannot store it."""
    for pointer, text in _texts(body):
        if "\0" in text:
            raise refused_input(InvalidInput(pointer, "may not hold the character U+0000"))


def _texts(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Every text below a value of JSON, with its pointer (RFC 6901)."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _texts(part, f"{pointer}/{index}")
