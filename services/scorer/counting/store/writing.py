"""Writes the answers that a batch made or changed, each kind of change in one statement.

The caller has locked their respondents. New answers go by PostgreSQL's binary COPY, encoded at the end of
this file.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any

import orjson

from services.scorer.counting.domain.answer import Answer
from services.scorer.counting.store.answers import Connection, stored_revisions
from services.scorer.counting.store.packing import array_of, packed


def _record(answer: Answer) -> tuple[Any, ...]:
    body, counted = answer.body, answer.counted
    return (
        answer.store,
        answer.response_id,
        body.respondent if body else None,
        body.metric if body else None,
        body.scale if body else None,
        body.answered_at if body else None,
        body.received_at if body else None,
        body.ce_id if body else None,
        body.fingerprint if body else None,
        orjson.dumps(stored_revisions(answer)).decode() if answer.revisions else None,
        answer.retracted,
        answer.latest,
        counted.day if counted else None,
        int(counted.group) if counted else None,
        counted.score if counted else None,
        counted.series if counted else None,
        body.raw.decode() if body else None,
    )


async def insert_answers(db: Connection, answers: Sequence[Answer]) -> None:
    """Store answers that have no row yet."""
    if answers:
        await db.copy_to_table(
            "answers",
            schema_name="scorer",
            columns=COLUMNS,
            source=binary_rows(answers),
            format="binary",
        )


async def update_answers(db: Connection, answers: Iterable[Answer]) -> None:
    """Store all columns of answers whose row does not hold what is known now."""
    records = [_record(answer) for answer in sorted(answers, key=lambda a: (a.store, a.response_id))]
    if not records:
        return
    columns: list[Any] = [list(column) for column in zip(*records, strict=True)]
    columns[15] = [array_of(series) if series else None for series in columns[15]]
    await db.execute(
        """UPDATE scorer.answers a SET respondent = n.respondent, metric = n.metric, scale = n.scale,
               answered_at = n.answered_at, received_at = n.received_at, ce_id = n.ce_id,
               fingerprint = n.fingerprint, amended = n.amended, retracted = n.retracted, latest = n.latest,
               day = n.day, grp = n.grp, score = n.score, series = n.series::int[], body = n.body
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
                       $7::timestamptz[], $8::text[], $9::text[], $10::jsonb[], $11::boolean[],
                       $12::boolean[], $13::date[], $14::smallint[], $15::smallint[], $16::text[],
                       $17::text[])
                AS n(store, response_id, respondent, metric, scale, answered_at, received_at, ce_id,
                     fingerprint, amended, retracted, latest, day, grp, score, series, body)
           WHERE a.store = n.store AND a.response_id = n.response_id""",
        *columns,
    )


async def flip_latest(db: Connection, answers: Sequence[Answer]) -> None:
    """Store `latest` of answers of which only that changed."""
    for latest in (False, True):
        keys = [(answer.store, answer.response_id) for answer in answers if answer.latest is latest]
        if keys:
            await db.execute(
                """UPDATE scorer.answers a SET latest = $4
                   FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS n(store, response_id)
                   WHERE a.store = n.store AND a.response_id = n.response_id""",
                *packed(keys),
                latest,
            )


async def move_answers(db: Connection, moved: Sequence[Answer]) -> None:
    """Store where these answers count now, and `latest`; nothing else of them changed."""
    if not moved:
        return
    places = [
        (a.counted.day, int(a.counted.group), a.counted.score) if a.counted else (None,) * 3 for a in moved
    ]
    await db.execute(
        """UPDATE scorer.answers a SET latest = n.latest, day = n.day, grp = n.grp, score = n.score,
               series = n.series::int[]
           FROM unnest(string_to_array($1, $3), string_to_array($2, $3), string_to_array($4, ' ', '-'),
                       $5::text::boolean[], $6::text::date[], $7::text::smallint[], $8::text::smallint[])
                AS n(store, response_id, series, latest, day, grp, score)
           WHERE a.store = n.store AND a.response_id = n.response_id""",
        *packed((a.store, a.response_id) for a in moved),
        " ".join(array_of(a.counted.series) if a.counted else "-" for a in moved),
        array_of(a.latest for a in moved),
        *[array_of(column) for column in zip(*places, strict=True)],
    )


async def add_rivals(db: Connection, answers: Iterable[Answer]) -> None:
    """Keep the bodies that lost since these answers were read, so that a conflict can be looked at."""
    rows = [
        (answer.store, answer.response_id, body.fingerprint, body.ce_id, body.raw.decode(), body.respondent)
        for answer in answers
        for body in answer.new_rivals
    ]
    if rows:
        await db.executemany(
            """INSERT INTO scorer.conflicts (store, response_id, fingerprint, ce_id, body, respondent)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING""",
            rows,
        )
        # The winner may have been a rival before a lower ce_id of it arrived.
        await db.execute(
            """DELETE FROM scorer.conflicts c USING scorer.answers a
               WHERE a.store = c.store AND a.response_id = c.response_id AND a.fingerprint = c.fingerprint
                 AND (a.store, a.response_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))""",
            [row[0] for row in rows],
            [row[1] for row in rows],
        )


# New answers as the bytes of PostgreSQL's binary COPY. asyncpg's own encoder asks of every element of every
# array whether it is an array itself; for a row of answers that costs three times as much as all of this.

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
_flags = Struct("!i?i?").pack
_place = Struct("!iiihih").pack

COLUMNS = (
    *("store", "response_id", "respondent", "metric", "scale", "answered_at", "received_at", "ce_id"),
    *("fingerprint", "amended", "retracted", "latest", "day", "grp", "score", "series", "body"),
)


async def binary_rows(answers: Sequence[Answer]) -> AsyncIterator[bytes]:
    """The answers in `COLUMNS`, as the source of `copy_to_table(format="binary")`."""
    yield _START
    for first in range(0, len(answers), _PIECE):
        yield _rows(answers[first : first + _PIECE])
    yield _END


def _rows(answers: Sequence[Answer]) -> bytes:
    parts: list[bytes] = []
    for answer in answers:
        body, counted = answer.body, answer.counted
        response_id = answer.response_id.encode()
        parts += (_FIELDS, _cached_text(answer.store), _length(len(response_id)), response_id)
        if body:
            ce_id, fingerprint = body.ce_id.encode(), body.fingerprint.encode()
            parts += (
                _text(body.respondent) if body.respondent else _NULL,
                _cached_text(body.metric),
                _cached_text(body.scale),
                _moments(8, _microseconds(body.answered_at), 8, _microseconds(body.received_at)),
                _length(len(ce_id)),
                ce_id,
                _length(len(fingerprint)),
                fingerprint,
            )
        else:
            parts.append(_NULL * 7)
        parts += (
            _amended(answer) if answer.revisions else _NULL,
            _flags(1, answer.retracted, 1, answer.latest),
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


_cached_text = lru_cache(1000)(_text)


def _microseconds(value: datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND


def _amended(answer: Answer) -> bytes:
    data = orjson.dumps(stored_revisions(answer))
    return _length(len(data) + 1) + b"\1" + data  # the version of jsonb's binary form


@lru_cache(50_000)
def _array(series: tuple[int, ...]) -> bytes:
    data = Struct("!iiiii").pack(1, 0, _INT4_OID, len(series), 1)
    data += b"".join(_length(4) + _length(series_id) for series_id in series)
    return _length(len(data)) + data
