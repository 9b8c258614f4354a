"""Reads stored answers, and turns events and rows into answers of the domain.

The statements are asyncpg's own, with arrays as arguments. Locks are taken in the order respondent, answer,
bucket, each sorted, by every writer of this schema.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

from services.scorer.counting.domain.answer import Answer, Body, Contribution
from services.scorer.counting.store.packing import packed
from shared.events.responses import Identity, ResponseSubmitted
from shared.feedback import revisions
from shared.feedback.metrics import Group
from shared.feedback.revisions import Revision

Connection: TypeAlias = "asyncpg.Connection[Any]"
Key = tuple[str, str]
"""Store and response id, or store and respondent."""
Spells = list[tuple[datetime, str]]
"""The tiers of one respondent: (since, tier), oldest first."""

_PIECE = 500
_OPEN = frozenset({Identity.IDENTIFIED, Identity.ANONYMOUS})
"""Any other answer is treated as confidential, also one whose identity this release does not know."""
_GROUPS = {group.value: group for group in Group}
ANSWER_COLUMNS = """a.store, a.response_id, a.respondent, a.metric, a.scale, a.answered_at, a.received_at,
    a.ce_id, a.fingerprint, a.amended, a.retracted, a.latest, a.day, a.grp, a.score, a.series, a.body"""


def body_of(event: ResponseSubmitted, ce_id: str, raw: bytes) -> Body:
    """An event as the domain counts it. An anonymous answer has no respondent.

    `raw` is the event's JSON as it came. Fields are read from the instance's dict: this runs for every
    answer.
    """
    known = event.__dict__
    return Body(
        ce_id,
        known["fingerprint"],
        known["metric"],
        known["scale"],
        known["score"],
        known["answered_at"],
        event.respondent,
        known["test"],
        known["touchpoint"],
        known["segments"],
        known["channel"],
        known["received_at"],
        raw,
        known["identity"] not in _OPEN,
    )


def event_of(body: Body) -> ResponseSubmitted:
    """The whole answer as it was submitted."""
    return ResponseSubmitted.model_validate_json(body.raw)


def hour_of(moment: datetime) -> int:
    """Hours since 1970."""
    return int(moment.timestamp() // 3600)


async def read_answers(
    db: Connection, keys: Iterable[Key], *, among: Collection[str] | None = None, lock: bool = False
) -> dict[Key, Answer]:
    """The stored ones of these answers, with the fingerprints of their rivals: all, or those `among` these,
    as one answer may have any number.

    A caller that writes them afterwards needs their `lock`: an answer without a respondent has no other
    guard.
    """
    unique = set(keys)
    if not unique:
        return {}
    rows = await db.fetch(
        f"""SELECT {ANSWER_COLUMNS}, ARRAY(SELECT c.fingerprint FROM scorer.conflicts c
                WHERE c.store = a.store AND c.response_id = a.response_id
                      AND ($4::text[] IS NULL OR c.fingerprint = ANY($4))) AS rivals
            FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, response_id)
            JOIN scorer.answers a USING (store, response_id)
            {"ORDER BY a.store, a.response_id FOR UPDATE OF a" if lock else ""}""",
        *packed(unique),
        None if among is None else list(among),
    )
    return {(row[0], row[1]): answer_of(row, row["rivals"]) for row in rows}


async def counted_answers_of(db: Connection, respondents: Iterable[Key]) -> list[Answer]:
    """The counted answers of these respondents."""
    unique = set(respondents)
    if not unique:
        return []
    rows = await db.fetch(
        f"""SELECT {ANSWER_COLUMNS}
            FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
            JOIN scorer.answers a USING (store, respondent) WHERE a.series IS NOT NULL""",
        *packed(unique),
    )
    return await in_pieces(rows, lambda row: answer_of(row, []))


async def in_pieces(
    rows: Sequence[Any], read: Callable[[Any], Answer], *, piece: int = _PIECE
) -> list[Answer]:
    """The rows as answers. One person may have any number of them: other tasks get their turn in between."""
    answers: list[Answer] = []
    for first in range(0, len(rows), piece):
        if first:
            await asyncio.sleep(0)
        answers += map(read, rows[first : first + piece])
    return answers


async def answers_for_latest(
    db: Connection, respondents: Iterable[Key], *, only_latest: bool
) -> list[Answer]:
    """The counted answers of these respondents, or only those that are the latest, for `settle_latest`.

    Their bodies are not read, so they may be moved between buckets, but not stored as changed.
    """
    unique = set(respondents)
    if not unique:
        return []
    rows = await db.fetch(
        """SELECT a.store, a.response_id, a.respondent, a.metric, a.scale, a.answered_at, a.latest,
                  a.day, a.grp, a.score, a.series
           FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
           JOIN scorer.answers a USING (store, respondent)
           WHERE a.series IS NOT NULL AND (a.latest OR NOT $4)""",
        *packed(unique),
        only_latest,
    )
    return await in_pieces(rows, _without_body)


def _without_body(row: Any) -> Answer:
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
    """A row of `ANSWER_COLUMNS` as an answer."""
    body = None
    if row["body"] is not None:
        raw = row["body"].encode()
        body = body_of(ResponseSubmitted.model_validate_json(raw), row["ce_id"], raw)
        # Where it was counted, which may be by an older rule: `closeloop rebuild scorer` moves it.
        body = body._replace(respondent=row["respondent"])
    counted = None
    if row["series"] is not None:
        at = row["answered_at"]
        series, group = tuple(row["series"]), _GROUPS[row["grp"]]
        counted = Contribution(series, row["day"], group, row["score"], at, hour_of(at))
    answer = Answer(
        store=row["store"],
        response_id=row["response_id"],
        body=body,
        revisions=_revisions_of(row["amended"]) if row["amended"] else (),
        retracted=row["retracted"],
        counted=counted,
        latest=row["latest"],
        rivals=frozenset(rivals),
        stored=True,
    )
    if answer.erased:  # perhaps by the release before, which knows only the values that count
        answer.forget_texts()
    return answer


_ALL = "all"


def stored_revisions(answer: Answer) -> dict[str, Any]:
    """The revisions of an answer as its column `amended` has them.

    By field what counts now, as (number, `ce_id`, value), which is all that the release before this one knew;
    and all of them under `all`, in a place that it carries along.
    """
    counting = {name: (r.number, r.ce_id, r.value) for name, r in answer.amended.items()}
    return {**counting, _ALL: (0, "", [tuple(revision) for revision in answer.revisions])}


def _revisions_of(stored: dict[str, Any]) -> tuple[Revision, ...]:
    everything = tuple(Revision(*revision) for revision in stored[_ALL][2]) if _ALL in stored else ()
    known = {(revision.field, revision.ce_id) for revision in everything}
    older = [Revision(name, *r) for name, r in stored.items() if name != _ALL and (name, r[1]) not in known]
    return revisions.merged(everything, older)
