"""The answers that a batch made or changed, written by sets. Their respondents are locked."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from services.scorer.domain import Answer
from services.scorer.store import copying
from services.scorer.store.answers import Connection
from services.scorer.store.packing import array_of, packed


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
        orjson.dumps({name: tuple(one) for name, one in answer.amended.items()}).decode()
        if answer.amended
        else None,
        answer.retracted,
        answer.latest,
        counted.day if counted else None,
        int(counted.group) if counted else None,
        counted.score if counted else None,
        counted.series if counted else None,
        body.raw.decode() if body else None,
    )


async def insert_answers(db: Connection, answers: Sequence[Answer]) -> None:
    """Answers that are not stored yet."""
    if answers:
        await db.copy_to_table(
            "answers",
            schema_name="scorer",
            columns=copying.COLUMNS,
            source=copying.rows(answers),
            format="binary",
        )


async def update_answers(db: Connection, answers: Iterable[Answer]) -> None:
    """Answers that are stored and changed."""
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
    """Answers that only stopped or started being the latest."""
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
    """Answers that only count elsewhere than before."""
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
    """Keep the bodies that lost, so that a conflict can be looked at."""
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
