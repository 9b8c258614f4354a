"""The hot path: read what a batch touches under locks, write what it changed. asyncpg itself, in arrays.

Locks are taken in the order respondent, answer, bucket, each sorted, by every writer of this schema.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg
import orjson

from services.scorer.domain import Answer, Body, BucketDelta, Contribution
from services.scorer.domain.answer import Revision
from shared.db import Raced
from shared.events.responses import ResponseSubmitted
from shared.feedback.metrics import Group

Connection: TypeAlias = "asyncpg.Connection[Any]"
Key = tuple[str, str]
"""Store and response id, or store and respondent."""
Spells = list[tuple[datetime, str]]

ANSWER_COLUMNS = """a.store, a.response_id, a.respondent, a.metric, a.scale, a.answered_at, a.received_at,
    a.ce_id, a.fingerprint, a.amended, a.retracted, a.latest, a.day, a.grp, a.score, a.series, a.body"""


def body_of(event: ResponseSubmitted, ce_id: str, raw: str) -> Body:
    """An event as the domain counts it. An anonymous answer is its own respondent."""
    return Body(
        ce_id=ce_id,
        fingerprint=event.fingerprint,
        metric=event.metric,
        scale=event.scale,
        score=event.score,
        answered_at=event.answered_at,
        respondent=event.customer.ref if event.customer and event.identity != "anonymous" else None,
        test=event.test,
        touchpoint=event.touchpoint,
        segments=event.segments,
        channel=event.channel,
        received_at=event.received_at,
        raw=raw,
    )


def event_of(body: Body) -> ResponseSubmitted:
    """The whole answer as it was submitted."""
    return ResponseSubmitted.model_validate_json(body.raw)


async def lock_respondents(db: Connection, keys: Iterable[Key]) -> tuple[dict[Key, Spells], set[Key]]:
    """Lock these respondents until the transaction ends: the tiers of all, and which are new here.

    Raises Raced when another writer made one of them at the same time.
    """
    wanted = sorted(keys)
    if not wanted:
        return {}, set()
    stores, refs = zip(*wanted, strict=True)
    rows = await db.fetch(
        """SELECT r.store, r.respondent, r.tiers
           FROM unnest($1::text[], $2::text[]) AS k(store, respondent)
           JOIN scorer.respondents r USING (store, respondent)
           ORDER BY r.store, r.respondent FOR UPDATE OF r""",
        stores,
        refs,
    )
    found: dict[Key, Spells] = {(row[0], row[1]): spells_of(row[2]) for row in rows}
    new = set(wanted) - found.keys()
    if new:
        stores, refs = zip(*sorted(new), strict=True)
        made = await db.fetch(
            """INSERT INTO scorer.respondents (store, respondent)
               SELECT * FROM unnest($1::text[], $2::text[]) AS k(store, respondent)
               ORDER BY store, respondent ON CONFLICT DO NOTHING RETURNING 1""",
            stores,
            refs,
        )
        if len(made) < len(new):
            raise Raced
        found.update((key, []) for key in new)
    return found, new


async def read_spells(db: Connection, keys: Iterable[Key]) -> dict[Key, Spells]:
    """The tiers of these respondents, without a lock."""
    wanted = sorted(keys)
    rows = await db.fetch(
        """SELECT r.store, r.respondent, r.tiers FROM unnest($1::text[], $2::text[]) AS k(store, respondent)
           JOIN scorer.respondents r USING (store, respondent)""",
        [key[0] for key in wanted],
        [key[1] for key in wanted],
    )
    return {(row[0], row[1]): spells_of(row[2]) for row in rows}


def spells_of(tiers: list[list[str]]) -> Spells:
    """The stored tier spells, oldest first."""
    return [(datetime.fromisoformat(since), tier) for since, tier in tiers]


async def read_answers(db: Connection, keys: Iterable[Key], *, lock: bool = False) -> dict[Key, Answer]:
    """These answers, as far as they are stored, with the fingerprints of their rivals.

    Who writes them afterwards needs their `lock`: an answer without a respondent has no other guard.
    """
    wanted = sorted(keys)
    if not wanted:
        return {}
    stores, ids = zip(*wanted, strict=True)
    rows = await db.fetch(
        f"""SELECT {ANSWER_COLUMNS}, ARRAY(SELECT c.fingerprint FROM scorer.conflicts c
                WHERE c.store = a.store AND c.response_id = a.response_id) AS rivals
            FROM unnest($1::text[], $2::text[]) AS k(store, response_id)
            JOIN scorer.answers a USING (store, response_id)
            {"ORDER BY a.store, a.response_id FOR UPDATE OF a" if lock else ""}""",
        stores,
        ids,
    )
    return {(row[0], row[1]): answer_of(row, row["rivals"]) for row in rows}


async def answers_of(db: Connection, respondents: Iterable[Key]) -> list[Answer]:
    """The counted answers of these respondents."""
    wanted = sorted(respondents)
    if not wanted:
        return []
    stores, refs = zip(*wanted, strict=True)
    rows = await db.fetch(
        f"""SELECT {ANSWER_COLUMNS} FROM unnest($1::text[], $2::text[]) AS k(store, respondent)
            JOIN scorer.answers a USING (store, respondent) WHERE a.series IS NOT NULL""",
        stores,
        refs,
    )
    return [answer_of(row, []) for row in rows]


async def standing_answers(db: Connection, respondents: Iterable[Key], *, only_latest: bool) -> list[Answer]:
    """The counted answers of these respondents, or the latest of them, as far as `settle_latest` looks.

    What they said is not read: they may be moved, and not stored as changed.
    """
    wanted = sorted(respondents)
    if not wanted:
        return []
    stores, refs = zip(*wanted, strict=True)
    rows = await db.fetch(
        """SELECT a.store, a.response_id, a.respondent, a.metric, a.scale, a.answered_at, a.latest,
                  a.day, a.grp, a.score, a.series
           FROM unnest($1::text[], $2::text[]) AS k(store, respondent)
           JOIN scorer.answers a USING (store, respondent)
           WHERE a.series IS NOT NULL AND (a.latest OR NOT $3)""",
        stores,
        refs,
        only_latest,
    )
    return [
        Answer(
            store=store,
            response_id=response_id,
            body=Body("", "", metric, scale, score, at, respondent, False, None, {}, "", at, ""),
            counted=Contribution(tuple(series), day, Group(group), score),
            latest=latest,
            stored=True,
        )
        for store, response_id, respondent, metric, scale, at, latest, day, group, score, series in rows
    ]


def answer_of(row: Any, rivals: Sequence[str]) -> Answer:
    body = None
    if row["body"] is not None:
        body = body_of(ResponseSubmitted.model_validate_json(row["body"]), row["ce_id"], row["body"])
    counted = None
    if row["series"] is not None:
        counted = Contribution(tuple(row["series"]), row["day"], Group(row["grp"]), row["score"])
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
        body.raw if body else None,
    )


_NAMES = tuple(name.strip().removeprefix("a.") for name in ANSWER_COLUMNS.split(","))


async def insert_answers(db: Connection, answers: Sequence[Answer]) -> None:
    """Answers that are not stored yet."""
    if answers:
        await db.copy_records_to_table(
            "answers", schema_name="scorer", columns=_NAMES, records=[_record(answer) for answer in answers]
        )


async def update_answers(db: Connection, answers: Iterable[Answer]) -> None:
    """Answers that are stored and changed."""
    records = [_record(answer) for answer in sorted(answers, key=lambda a: (a.store, a.response_id))]
    if not records:
        return
    columns: list[Any] = [list(column) for column in zip(*records, strict=True)]
    columns[15] = [_array(series) for series in columns[15]]
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


async def move_answers(db: Connection, answers: Iterable[Answer]) -> None:
    """Answers that only count elsewhere than before, or stopped or started being the latest."""
    moved = sorted(answers, key=lambda a: (a.store, a.response_id))
    if not moved:
        return
    places = [
        (a.counted.day, int(a.counted.group), a.counted.score) if a.counted else (None,) * 3 for a in moved
    ]
    await db.execute(
        """UPDATE scorer.answers a SET latest = n.latest, day = n.day, grp = n.grp, score = n.score,
               series = n.series::int[]
           FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::date[], $6::smallint[],
                       $7::smallint[]) AS n(store, response_id, latest, series, day, grp, score)
           WHERE a.store = n.store AND a.response_id = n.response_id""",
        [a.store for a in moved],
        [a.response_id for a in moved],
        [a.latest for a in moved],
        [_array(a.counted.series if a.counted else None) for a in moved],
        *[list(column) for column in zip(*places, strict=True)],
    )


def _array(series: Sequence[int] | None) -> str | None:
    """An array as PostgreSQL writes it: unnest would flatten an array of arrays."""
    return None if series is None else "{" + ",".join(map(str, series)) + "}"


async def add_rivals(db: Connection, answers: Iterable[Answer]) -> None:
    """Keep the bodies that lost, so that a conflict can be looked at."""
    rows = [
        (answer.store, answer.response_id, body.fingerprint, body.ce_id, body.raw)
        for answer in answers
        for body in answer.new_rivals
    ]
    if rows:
        await db.executemany(
            """INSERT INTO scorer.conflicts (store, response_id, fingerprint, ce_id, body)
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
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
    """One sorted upsert, and a mark on each series that changed."""
    if not deltas:
        return
    columns = [
        [d.series for d in deltas],
        [d.day for d in deltas],
        *[[d.every[i] for d in deltas] for i in range(4)],
        *[[d.latest[i] for d in deltas] for i in range(4)],
    ]
    await db.execute(
        """INSERT INTO scorer.buckets AS b
               SELECT series, day, $11, d, n, p, s, ld, ln, lp, ls, 1
               FROM unnest($1::int[], $2::date[], $3::int[], $4::int[], $5::int[], $6::bigint[],
                           $7::int[], $8::int[], $9::int[], $10::bigint[])
                    AS x(series, day, d, n, p, s, ld, ln, lp, ls)
           ON CONFLICT (series, day, shard) DO UPDATE SET
               detractors = b.detractors + excluded.detractors, passives = b.passives + excluded.passives,
               promoters = b.promoters + excluded.promoters, points = b.points + excluded.points,
               latest_detractors = b.latest_detractors + excluded.latest_detractors,
               latest_passives = b.latest_passives + excluded.latest_passives,
               latest_promoters = b.latest_promoters + excluded.latest_promoters,
               latest_points = b.latest_points + excluded.latest_points, changes = b.changes + 1""",
        *columns,
        shard,
    )
    await db.execute(
        """INSERT INTO scorer.marks AS m SELECT s, $2, 1 FROM unnest($1::int[]) AS s ORDER BY s
           ON CONFLICT (series, shard) DO UPDATE SET changes = m.changes + 1""",
        sorted({d.series for d in deltas}),
        shard,
    )
