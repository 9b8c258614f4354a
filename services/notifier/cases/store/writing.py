"""The rows around a case (answers, history, alerts, steps, watchers). Each statement is a round trip,
so what a batch adds is added in one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from services.notifier.cases.domain.case import Case, Entry
from services.notifier.cases.store.answers import AnswerKey
from services.notifier.cases.store.cases import STORED, Link, row_of
from services.notifier.deliveries.store import NewDelivery
from shared.db import Session

# What happened to cases and who watches them.


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """`version`: the case's after this; None of entries that did not change it."""

    case_id: str
    at: datetime
    who: str
    entry: Entry
    version: int | None = None


async def history(session: Session, case_id: str, *, after_version: int = -1) -> list[HistoryRow]:
    """The oldest first; `after_version`: only what made a later version than that."""
    rows = await session.execute(
        text("""SELECT at, who, what, CAST(detail AS text) AS detail, version FROM notifier.history
                WHERE case_id = :case_id AND (:after < 0 OR version > :after) ORDER BY id"""),
        {"case_id": case_id, "after": after_version},
    )
    return [HistoryRow(case_id, r.at, r.who, Entry(r.what, orjson.loads(r.detail)), r.version) for r in rows]


async def watchers(session: Session, case_ids: Iterable[str]) -> dict[str, list[str]]:
    """Who watches these cases."""
    rows = await session.execute(
        text("""SELECT case_id, who FROM notifier.case_watchers
                WHERE case_id = ANY(CAST(:case_ids AS text[])) ORDER BY case_id, who"""),
        {"case_ids": list(case_ids)},
    )
    watchers_of: dict[str, list[str]] = {}
    for row in rows:
        watchers_of.setdefault(row.case_id, []).append(row.who)
    return watchers_of


async def watch(session: Session, case_id: str, who: str) -> bool:
    """Whether they did not watch it already."""
    inserted = await session.execute(
        text("INSERT INTO notifier.case_watchers (case_id, who) VALUES (:id, :who) ON CONFLICT DO NOTHING"),
        {"id": case_id, "who": who},
    )
    return inserted.rowcount > 0


async def unwatch(session: Session, case_id: str, who: str) -> bool:
    """Whether they watched it."""
    deleted = await session.execute(
        text("DELETE FROM notifier.case_watchers WHERE case_id = :id AND who = :who"),
        {"id": case_id, "who": who},
    )
    return deleted.rowcount > 0


async def add_steps(session: Session, steps: Sequence[tuple[str, str, datetime]]) -> None:
    """Escalation steps (case, step, when); raises IntegrityError for one that was taken before."""
    if steps:
        await session.execute(
            text("INSERT INTO notifier.case_steps (case_id, step, at) VALUES (:case_id, :step, :at)"),
            [{"case_id": case_id, "step": step, "at": at} for case_id, step, at in steps],
        )


@dataclass(frozen=True, slots=True)
class Added:
    cases: Sequence[Case] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    """By case, the text by which a new one can be found."""
    answers: Sequence[tuple[AnswerKey, Link, datetime]] = ()
    history: Sequence[HistoryRow] = ()
    deliveries: Sequence[NewDelivery] = ()


async def add(session: Session, added: Added) -> None:
    """A delivery that is there under (case, reason, channel) stays as it is.

    Raises IntegrityError when a customer has an open case already, or an answer a case.
    """
    if added.cases or added.answers or added.history or added.deliveries:
        await session.execute(
            _ADD,
            _cases(added.cases, added.words)
            | _answers(added.answers)
            | _history(added.history)
            | _deliveries(added.deliveries),
        )


_ADD = text(f"""
    WITH opened AS (
        INSERT INTO notifier.cases ({", ".join(STORED)}, words, changed_at)
        SELECT {", ".join(f"n.{name}" for name in STORED)}, to_tsvector('simple', f.words), clock_timestamp()
        FROM json_populate_recordset(CAST(NULL AS notifier.cases), CAST(:cases AS json)) n
        JOIN unnest(CAST(:case_ids AS text[]), CAST(:words AS text[])) AS f(case_id, words)
             ON f.case_id = n.case_id
    ), answered AS (
        INSERT INTO notifier.case_answers (store, response_id, case_id, part, added_at)
        SELECT * FROM unnest(CAST(:answer_stores AS text[]), CAST(:answer_ids AS text[]),
                             CAST(:answer_cases AS text[]), CAST(:parts AS text[]),
                             CAST(:added AS timestamptz[]))
    ), happened AS (
        INSERT INTO notifier.history (case_id, at, who, what, detail, version)
        SELECT h.case_id, h.at, h.who, h.what, CAST(h.detail AS jsonb), h.version
        FROM unnest(CAST(:history_cases AS text[]), CAST(:moments AS timestamptz[]), CAST(:who AS text[]),
                    CAST(:what AS text[]), CAST(:details AS text[]), CAST(:versions AS int[]))
             AS h(case_id, at, who, what, detail, version)
    )
    INSERT INTO notifier.deliveries
        (delivery_id, store, case_id, reason, channel, response_id, received_at, next_at, traceparent)
    SELECT * FROM unnest(CAST(:delivery_ids AS text[]), CAST(:stores AS text[]), CAST(:about AS text[]),
                         CAST(:reasons AS text[]), CAST(:channels AS text[]), CAST(:responses AS text[]),
                         CAST(:received AS timestamptz[]), CAST(:not_before AS timestamptz[]),
                         CAST(:traceparents AS text[]))
    ON CONFLICT ON CONSTRAINT deliveries_once DO NOTHING""")


def _cases(cases: Sequence[Case], words: Mapping[str, str]) -> dict[str, Any]:
    return {
        "cases": orjson.dumps([row_of(case) for case in cases]).decode(),
        "case_ids": [case.case_id for case in cases],
        "words": [words.get(case.case_id, "") for case in cases],
    }


def _answers(answers: Sequence[tuple[AnswerKey, Link, datetime]]) -> dict[str, Any]:
    rows = sorted(answers, key=lambda answer: answer[0])
    return {
        "answer_stores": [store for (store, _), _, _ in rows],
        "answer_ids": [response_id for (_, response_id), _, _ in rows],
        "answer_cases": [link.case_id for _, link, _ in rows],
        "parts": [link.part.value for _, link, _ in rows],
        "added": [at for _, _, at in rows],
    }


def _history(rows: Sequence[HistoryRow]) -> dict[str, Any]:
    return {
        "history_cases": [row.case_id for row in rows],
        "moments": [row.at for row in rows],
        "who": [row.who for row in rows],
        "what": [row.entry.what for row in rows],
        "details": [orjson.dumps(dict(row.entry.detail)).decode() for row in rows],
        "versions": [row.version for row in rows],
    }


def _deliveries(rows: Sequence[NewDelivery]) -> dict[str, Any]:
    return {
        "delivery_ids": [row.delivery_id for row in rows],
        "stores": [row.store for row in rows],
        "about": [row.case_id for row in rows],
        "reasons": [row.reason for row in rows],
        "channels": [row.channel for row in rows],
        "responses": [row.response_id for row in rows],
        "received": [row.received_at for row in rows],
        "not_before": [row.not_before for row in rows],
        "traceparents": [row.traceparent for row in rows],
    }
