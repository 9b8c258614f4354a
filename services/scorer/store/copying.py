"""New answers as the bytes of PostgreSQL's binary COPY.

asyncpg's own encoder asks of every element of every array whether it is an array itself; for a row of answers
that costs three times as much as all of this.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct

import orjson

from services.scorer.domain import Answer

_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_TRUE, _FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_FIELDS = b"\0\x11"
_INT4_OID = 23

_length = Struct("!i").pack
_timestamp = Struct("!iq").pack
_date = Struct("!ii").pack
_smallint = Struct("!ih").pack

COLUMNS = (
    *("store", "response_id", "respondent", "metric", "scale", "answered_at", "received_at", "ce_id"),
    *("fingerprint", "amended", "retracted", "latest", "day", "grp", "score", "series", "body"),
)


async def rows(answers: Sequence[Answer]) -> AsyncIterator[bytes]:
    """The answers in `COLUMNS`, as the source of `copy_to_table(format="binary")`."""
    parts = [_START]
    for answer in answers:
        body, counted = answer.body, answer.counted
        parts += (_FIELDS, _often(answer.store), _text(answer.response_id))
        if body:
            parts += (
                _text(body.respondent) if body.respondent else _NULL,
                _often(body.metric),
                _often(body.scale),
                _moment(body.answered_at),
                _moment(body.received_at),
                _text(body.ce_id),
                _text(body.fingerprint),
            )
        else:
            parts.append(_NULL * 7)
        parts += (
            _amended(answer) if answer.amended else _NULL,
            _TRUE if answer.retracted else _FALSE,
            _TRUE if answer.latest else _FALSE,
        )
        if counted:
            parts += (
                _date(4, counted.day.toordinal() - _EPOCH_DAY),
                _smallint(2, counted.group),
                _smallint(2, counted.score),
                _array(counted.series),
            )
        else:
            parts.append(_NULL * 4)
        parts += (_length(len(body.raw)), body.raw) if body else (_NULL,)
    parts.append(_END)
    yield b"".join(parts)


def _text(value: str) -> bytes:
    data = value.encode()
    return _length(len(data)) + data


_often = lru_cache(1000)(_text)


def _moment(value: datetime) -> bytes:
    since = value - _EPOCH
    return _timestamp(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _amended(answer: Answer) -> bytes:
    data = orjson.dumps({name: tuple(revision) for name, revision in answer.amended.items()})
    return _length(len(data) + 1) + b"\1" + data  # the version of jsonb's binary form


@lru_cache(50_000)
def _array(series: tuple[int, ...]) -> bytes:
    data = Struct("!iiiii").pack(1, 0, _INT4_OID, len(series), 1)
    data += b"".join(_length(4) + _length(one) for one in series)
    return _length(len(data)) + data
