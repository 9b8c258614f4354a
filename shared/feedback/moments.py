"""Times that come from outside: RFC 3339, section 5.6, and nothing else.

`datetime.fromisoformat` knows all of ISO 8601, so it takes weeks and days of the year, leaves out what it
likes, and refuses the lower-case `z`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-5][0-9]:([0-5][0-9]|60)(?:\.[0-9]+)?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)
_LOST_PLUS: Final = re.compile(r" (?=[0-9]{2}:[0-9]{2}\Z)")
_SECOND: Final = timedelta(seconds=1)


class InvalidMoment(ValueError):
    """The text is no date and time of RFC 3339.

    InvalidMoment
      MissingOffset   it would be one, but for the offset from UTC
    """


class MissingOffset(InvalidMoment):
    pass


def parse_moment(text: str) -> datetime:
    """A time such as `2026-11-22T10:00:00+01:00`, with the offset that it was written with.

    The date and the time may stand apart by a space, and `t` and `z` in lower case, as the RFC allows; of a
    fraction everything beyond microseconds is cut off. A leap second, the 60th at the end of a month in UTC,
    is the first second of the next one, as in POSIX. Raises InvalidMoment.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InvalidMoment("is no date and time of RFC 3339")
    seconds, offset = match.groups()
    leap = seconds == "60"
    if leap:
        at = match.start(1)
        text = f"{text[:at]}59{text[at + 2 :]}"
    try:
        moment = datetime.fromisoformat(text.upper())
        if offset is None:
            raise MissingOffset("has no offset from UTC")
        if leap:
            moment += _SECOND
        utc = moment.astimezone(UTC)
    except OverflowError:
        raise InvalidMoment("lies outside of all years") from None
    except ValueError as error:
        if isinstance(error, InvalidMoment):
            raise
        raise InvalidMoment("is no date and time of RFC 3339") from None
    if leap and (utc.day, utc.hour, utc.minute, utc.second) != (1, 0, 0, 0):
        raise InvalidMoment("has a 60th second that is no leap second")
    return moment


def parse_moment_of_query(text: str) -> datetime:
    """The same from the query of an address, where the `+` of an offset that was not escaped is a space.

    Raises InvalidMoment.
    """
    return parse_moment(_LOST_PLUS.sub("+", text))
