"""What is known before a batch is applied, in one look: each is a round trip, however little it finds."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text

from services.notifier.cases.store.answers import AnswerKey, Known
from services.notifier.cases.store.customers import Ref
from shared.db import Session


@dataclass(frozen=True, slots=True)
class Before:
    erased: dict[Ref, datetime] = field(default_factory=dict)
    """Who was erased, and until when nothing of theirs counts as theirs."""
    answers: dict[AnswerKey, Known] = field(default_factory=dict)
    """The answers that have a row."""
    with_cases: set[Ref] = field(default_factory=set)
    """Who has a case in work, or one that ended within `days`."""


async def look(session: Session, people: Iterable[Ref], keys: Iterable[AnswerKey], *, days: int) -> Before:
    """What is known of these customers and answers. Nothing is locked by it."""
    refs, wanted = sorted(set(people)), sorted(set(keys))
    before = Before()
    if not refs and not wanted:
        return before
    rows = await session.execute(
        text("""WITH who AS (
                    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS w(store, ref))
                SELECT 'erased' AS what, e.store, e.ref AS id, e.erased_at AS at,
                       CAST(NULL AS text) AS customer_ref, CAST(NULL AS text[]) AS events
                FROM who JOIN notifier.erasures e USING (store, ref)
                UNION ALL
                SELECT 'case', w.store, w.ref, NULL, NULL, NULL FROM who w
                WHERE EXISTS (SELECT FROM notifier.cases c
                              WHERE c.store = w.store AND c.customer_ref = w.ref AND c.status <> 'dismissed'
                                    AND (c.closed_at IS NULL
                                         OR c.closed_at > now() - make_interval(days => :days)))
                UNION ALL
                SELECT 'answer', store, response_id, NULL, customer_ref,
                       ARRAY(SELECT jsonb_object_keys(revisions))
                FROM notifier.answers WHERE (store, response_id) IN
                     (SELECT * FROM unnest(CAST(:answer_stores AS text[]), CAST(:ids AS text[])))"""),
        {
            "stores": [store for store, _ in refs],
            "refs": [ref for _, ref in refs],
            "days": days,
            "answer_stores": [store for store, _ in wanted],
            "ids": [response for _, response in wanted],
        },
    )
    for row in rows:
        key = (row.store, row.id)
        match row.what:
            case "erased":
                before.erased[key] = row.at
            case "case":
                before.with_cases.add(key)
            case _:
                before.answers[key] = Known(row.customer_ref, frozenset(row.events))
    return before
