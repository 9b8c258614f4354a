"""Lists that are read a page at a time: an opaque cursor, and the address of the next page in `Link`."""

import base64
import binascii

import orjson
from fastapi import Request, Response

from shared.http.problems import Problem

PAGE = 50
LARGEST_PAGE = 200


def cursor_of(*place: str) -> str:
    """A cursor for the entries after `place`, by which the list is sorted."""
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
    """Put the address of the next page into the header `Link`: the same list from `cursor` on."""
    address = request.url.include_query_params(cursor=cursor)
    response.headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'
