"""The rows that changes of cases add, in one statement: each statement is a round trip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from services.notifier.cases.domain.case import Case
from services.notifier.cases.store.answers import AnswerKey
from services.notifier.cases.store.cases import STORED, Link, row_of
from services.notifier.deliveries.store import New
from services.notifier.store.trail import HistoryRow
from shared.db import Session


@dataclass(frozen=True, slots=True)
class Added:
    cases: Sequence[Case] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    """By case, the text by which a new one can be found."""
    answers: Sequence[tuple[AnswerKey, Link, datetime]] = ()
    history: Sequence[HistoryRow] = ()
    deliveries: Sequence[New] = ()


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
        INSERT INTO notifier.cases ({", ".join(STORED)}, words)
        SELECT {", ".join(f"n.{name}" for name in STORED)}, to_tsvector('simple', f.words)
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
    rows = sorted(answers, key=lambda one: one[0])
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


def _deliveries(rows: Sequence[New]) -> dict[str, Any]:
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
