"""New answers as the bytes of PostgreSQL's binary COPY.

asyncpg's own encoder asks of every element of every array whether it is an array itself; for a row of answers
that costs three times as much as all of this.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct

import orjson

from services.scorer.domain import Answer

_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)
_FIELDS = b"\0\x11"
_PIECE = 100
"""So many answers are sent while PostgreSQL stores those before."""
_INT4_OID = 23

# Of each value first its length in bytes; columns that stand side by side are packed at once.
_length = Struct("!i").pack
_moments = Struct("!iqiq").pack
_truths = Struct("!i?i?").pack
_place = Struct("!iiihih").pack

COLUMNS = (
    *("store", "response_id", "respondent", "metric", "scale", "answered_at", "received_at", "ce_id"),
    *("fingerprint", "amended", "retracted", "latest", "day", "grp", "score", "series", "body"),
)


async def rows(answers: Sequence[Answer]) -> AsyncIterator[bytes]:
    """The answers in `COLUMNS`, as the source of `copy_to_table(format="binary")`."""
    yield _START
    for first in range(0, len(answers), _PIECE):
        yield _piece(answers[first : first + _PIECE])
    yield _END


def _piece(answers: Sequence[Answer]) -> bytes:
    parts: list[bytes] = []
    for answer in answers:
        body, counted = answer.body, answer.counted
        response_id = answer.response_id.encode()
        parts += (_FIELDS, _often(answer.store), _length(len(response_id)), response_id)
        if body:
            ce_id, fingerprint = body.ce_id.encode(), body.fingerprint.encode()
            parts += (
                _text(body.respondent) if body.respondent else _NULL,
                _often(body.metric),
                _often(body.scale),
                _moments(8, _since(body.answered_at), 8, _since(body.received_at)),
                _length(len(ce_id)),
                ce_id,
                _length(len(fingerprint)),
                fingerprint,
            )
        else:
            parts.append(_NULL * 7)
        parts += (
            _amended(answer) if answer.amended else _NULL,
            _truths(1, answer.retracted, 1, answer.latest),
        )
        if counted:
            series, day, group, score, _, _ = counted
            parts += (_place(4, day.toordinal() - _EPOCH_DAY, 2, group, 2, score), _array(series))
        else:
            parts.append(_NULL * 4)
        parts += (_length(len(body.raw)), body.raw) if body else (_NULL,)
    return b"".join(parts)


def _text(value: str) -> bytes:
    data = value.encode()
    return _length(len(data)) + data


_often = lru_cache(1000)(_text)


def _since(value: datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND


def _amended(answer: Answer) -> bytes:
    data = orjson.dumps({name: tuple(revision) for name, revision in answer.amended.items()})
    return _length(len(data) + 1) + b"\1" + data  # the version of jsonb's binary form


@lru_cache(50_000)
def _array(series: tuple[int, ...]) -> bytes:
    data = Struct("!iiiii").pack(1, 0, _INT4_OID, len(series), 1)
    data += b"".join(_length(4) + _length(one) for one in series)
    return _length(len(data)) + data
