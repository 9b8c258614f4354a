"""The hot path: read what a batch touches under locks, write what it changed. asyncpg itself, in arrays.

Locks are taken in the order respondent, answer, bucket, each sorted, by every writer of this schema.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg
import orjson

from services.scorer.domain import Answer, Body, BucketDelta, Contribution
from services.scorer.domain.answer import Revision
from services.scorer.store import copying
from services.scorer.store.packing import array_of, packed
from shared.db import Raced
from shared.events.responses import Identity, ResponseSubmitted
from shared.feedback.metrics import Group

Connection: TypeAlias = "asyncpg.Connection[Any]"
Key = tuple[str, str]
"""Store and response id, or store and respondent."""
Spells = list[tuple[datetime, str]]

_PIECE = 500
_GROUPS = {group.value: group for group in Group}
ANSWER_COLUMNS = """a.store, a.response_id, a.respondent, a.metric, a.scale, a.answered_at, a.received_at,
    a.ce_id, a.fingerprint, a.amended, a.retracted, a.latest, a.day, a.grp, a.score, a.series, a.body"""


def body_of(event: ResponseSubmitted, ce_id: str, raw: bytes) -> Body:
    """An event as the domain counts it. An anonymous answer is its own respondent."""
    known = event.__dict__
    customer = known["customer"]
    return Body(
        ce_id,
        known["fingerprint"],
        known["metric"],
        known["scale"],
        known["score"],
        known["answered_at"],
        customer.ref if customer and known["identity"] is not Identity.ANONYMOUS else None,
        known["test"],
        known["touchpoint"],
        known["segments"],
        known["channel"],
        known["received_at"],
        raw,
    )


def event_of(body: Body) -> ResponseSubmitted:
    """The whole answer as it was submitted."""
    return ResponseSubmitted.model_validate_json(body.raw)


def hour_of(moment: datetime) -> int:
    """Hours since 1970."""
    return int(moment.timestamp() // 3600)


async def lock_respondents(db: Connection, keys: Iterable[Key]) -> tuple[dict[Key, Spells], set[Key]]:
    """Lock these respondents until the transaction ends: the tiers of all, and which are new here.

    Raises Raced when another writer made one of them at the same time.
    """
    wanted = set(keys)
    if not wanted:
        return {}, set()
    rows = await db.fetch(
        """SELECT r.store, r.respondent, nullif(r.tiers, '[]')
           FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
           JOIN scorer.respondents r USING (store, respondent)
           ORDER BY r.store, r.respondent FOR UPDATE OF r""",
        *packed(wanted),
    )
    found: dict[Key, Spells] = {(row[0], row[1]): spells_of(row[2]) if row[2] else [] for row in rows}
    new = wanted - found.keys()
    if new:
        made = await db.execute(
            """INSERT INTO scorer.respondents (store, respondent)
               SELECT * FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
               ORDER BY store, respondent ON CONFLICT DO NOTHING""",
            *packed(new),
        )
        if made != f"INSERT 0 {len(new)}":
            raise Raced
        found.update((key, []) for key in new)
    return found, new


async def read_spells(db: Connection, keys: Iterable[Key]) -> dict[Key, Spells]:
    """The tiers of these respondents, without a lock."""
    wanted = set(keys)
    if not wanted:
        return {}
    rows = await db.fetch(
        """SELECT r.store, r.respondent, r.tiers
           FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
           JOIN scorer.respondents r USING (store, respondent)""",
        *packed(wanted),
    )
    return {(row[0], row[1]): spells_of(row[2]) for row in rows}


def spells_of(tiers: list[list[str]]) -> Spells:
    """The stored tier spells, oldest first."""
    return [(datetime.fromisoformat(since), tier) for since, tier in tiers]


async def read_answers(db: Connection, keys: Iterable[Key], *, lock: bool = False) -> dict[Key, Answer]:
    """These answers, as far as they are stored, with the fingerprints of their rivals.

    Who writes them afterwards needs their `lock`: an answer without a respondent has no other guard.
    """
    wanted = set(keys)
    if not wanted:
        return {}
    rows = await db.fetch(
        f"""SELECT {ANSWER_COLUMNS}, ARRAY(SELECT c.fingerprint FROM scorer.conflicts c
                WHERE c.store = a.store AND c.response_id = a.response_id) AS rivals
            FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, response_id)
            JOIN scorer.answers a USING (store, response_id)
            {"ORDER BY a.store, a.response_id FOR UPDATE OF a" if lock else ""}""",
        *packed(wanted),
    )
    return {(row[0], row[1]): answer_of(row, row["rivals"]) for row in rows}


async def answers_of(db: Connection, respondents: Iterable[Key]) -> list[Answer]:
    """The counted answers of these respondents."""
    wanted = set(respondents)
    if not wanted:
        return []
    rows = await db.fetch(
        f"""SELECT {ANSWER_COLUMNS}
            FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
            JOIN scorer.answers a USING (store, respondent) WHERE a.series IS NOT NULL""",
        *packed(wanted),
    )
    return await _in_pieces(rows, lambda row: answer_of(row, []))


async def _in_pieces(rows: Sequence[Any], read: Callable[[Any], Answer]) -> list[Answer]:
    """What a person answered has no bound: others get their turn in between."""
    found: list[Answer] = []
    for first in range(0, len(rows), _PIECE):
        if first:
            await asyncio.sleep(0)
        found += map(read, rows[first : first + _PIECE])
    return found


async def standing_answers(db: Connection, respondents: Iterable[Key], *, only_latest: bool) -> list[Answer]:
    """The counted answers of these respondents, or the latest of them, as far as `settle_latest` looks.

    What they said is not read: they may be moved, and not stored as changed.
    """
    wanted = set(respondents)
    if not wanted:
        return []
    rows = await db.fetch(
        """SELECT a.store, a.response_id, a.respondent, a.metric, a.scale, a.answered_at, a.latest,
                  a.day, a.grp, a.score, a.series
           FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
           JOIN scorer.answers a USING (store, respondent)
           WHERE a.series IS NOT NULL AND (a.latest OR NOT $4)""",
        *packed(wanted),
        only_latest,
    )
    return await _in_pieces(rows, _standing)


def _standing(row: Any) -> Answer:
    store, response_id, respondent, metric, scale, at, latest, day, group, score, series = row
    return Answer(
        store=store,
        response_id=response_id,
        body=Body("", "", metric, scale, score, at, respondent, False, None, {}, "", at, b""),
        counted=Contribution(tuple(series), day, _GROUPS[group], score, at, hour_of(at)),
        latest=latest,
        stored=True,
    )


def answer_of(row: Any, rivals: Sequence[str]) -> Answer:
    body = None
    if row["body"] is not None:
        raw = row["body"].encode()
        body = body_of(ResponseSubmitted.model_validate_json(raw), row["ce_id"], raw)
    counted = None
    if row["series"] is not None:
        at = row["answered_at"]
        series, group = tuple(row["series"]), _GROUPS[row["grp"]]
        counted = Contribution(series, row["day"], group, row["score"], at, hour_of(at))
    return Answer(
        store=row["store"],
        response_id=row["response_id"],
        body=body,
        amended={name: Revision(*revision) for name, revision in (row["amended"] or {}).items()},
        retracted=row["retracted"],
        counted=counted,
        latest=row["latest"],
        rivals=set(rivals),
        stored=True,
    )


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


async def add_to_buckets(db: Connection, deltas: Sequence[BucketDelta], shard: int) -> None:
    """One sorted upsert."""
    if not deltas:
        return
    await db.execute(
        """INSERT INTO scorer.buckets AS b
               SELECT series, day, $11, d, n, p, s, ld, ln, lp, ls, 1
               FROM unnest($1::text::int[], $2::text::date[], $3::text::int[], $4::text::int[],
                           $5::text::int[], $6::text::bigint[], $7::text::int[], $8::text::int[],
                           $9::text::int[], $10::text::bigint[])
                    AS x(series, day, d, n, p, s, ld, ln, lp, ls)
           ON CONFLICT (series, day, shard) DO UPDATE SET
               detractors = b.detractors + excluded.detractors, passives = b.passives + excluded.passives,
               promoters = b.promoters + excluded.promoters, points = b.points + excluded.points,
               latest_detractors = b.latest_detractors + excluded.latest_detractors,
               latest_passives = b.latest_passives + excluded.latest_passives,
               latest_promoters = b.latest_promoters + excluded.latest_promoters,
               latest_points = b.latest_points + excluded.latest_points, changes = b.changes + 1""",
        *[
            array_of(column)
            for column in zip(*[(d.series, d.day, *d.every, *d.latest) for d in deltas], strict=True)
        ],
        shard,
    )


async def mark_series(db: Connection, series: Iterable[int], shard: int) -> None:
    """The scores of these series have changed, now or at some time."""
    wanted = sorted(series)
    if wanted:
        await db.execute(
            """INSERT INTO scorer.marks AS m SELECT s, $2, 1 FROM unnest($1::text::int[]) AS s
               ON CONFLICT (series, shard) DO UPDATE SET changes = m.changes + 1""",
            array_of(wanted),
            shard,
        )
