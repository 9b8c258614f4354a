"""Which keys may read and change cases over HTTP, ids in addresses, and lists that are read by the page."""

import base64
import binascii
from typing import Annotated

import orjson
from fastapi import Depends, Path, Request, Response

from shared.access import Key, Scope
from shared.http import Problem, require

Reader = Annotated[Key, Depends(require(Scope.CASES_READ))]
Worker = Annotated[Key, Depends(require(Scope.CASES_WRITE))]

CaseId = Annotated[
    str, Path(max_length=64, pattern="^[0-9a-f-]+$", examples=["019387a0-5b1c-7c3e-9a51-2f8e7d6c5b4a"])
]
DeliveryId = CaseId


def not_found(what: str) -> Problem:
    return Problem(404, "not-found", f"There is no such {what} in this store.")


# Lists a page at a time: an opaque cursor, and the address of the next page in `Link`.

PAGE = 50
LARGEST_PAGE = 200


def cursor_of(*place: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def place_of(cursor: str | None, parts: int) -> tuple[str, ...] | None:
    """What `cursor_of` was given. Raises Problem 422 for anything else."""
    if not cursor:
        return None
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        place = None
    if not isinstance(place, list) or len(place) != parts or not all(_is_storable(p) for p in place):
        raise bad_cursor()
    return tuple(place)


def _is_storable(part: object) -> bool:
    return isinstance(part, str) and "\0" not in part


def bad_cursor() -> Problem:
    error = {"pointer": "/query/cursor", "detail": "Take it from the Link header as it is."}
    return Problem(422, "invalid", "The request does not fit: see errors.", errors=[error])


def link_next(request: Request, response: Response, cursor: str) -> None:
    """The same list from where this page ended."""
    address = request.url.include_query_params(cursor=cursor)
    response.headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'
