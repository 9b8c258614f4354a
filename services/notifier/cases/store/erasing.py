"""The statements that erase customers: their answers, their rows and their names on cases.

The caller holds the lock around erasing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from services.notifier.cases.domain.reactions import RETRACTED
from services.notifier.cases.store.answers import AnswerKey
from services.notifier.cases.store.customers import Ref
from shared.db import Session
from shared.feedback.identity import respondent, surrogate

BECAUSE_ERASED = "erased"

_REFS = "jsonb_path_query_array(a.revisions, '$.*.body.customer.ref')"
_SENDERS = ("comment", "answers", "order", "segments", "locale")
"""Fields of an answer in which a person may have written anything."""


@dataclass(frozen=True, slots=True)
class AnswerToErase:
    """An answer with its events as they are stored."""

    key: AnswerKey
    customer_ref: str | None
    revisions: Mapping[str, Any]

    def erased_of(self, erased: Mapping[Ref, datetime], surrogates: Mapping[Ref, str]) -> "AnswerToErase":
        """The answer without anything that these customers wrote, and under their surrogates."""
        store = self.key[0]
        whose = (store, self.customer_ref or "")
        theirs = whose in erased
        revisions = {}
        for event_id, part in self.revisions.items():
            body = dict(part["body"])
            ref = (store, respondent_in(body))
            if ref in erased:
                body["customer"] = {"ref": surrogates[ref]}
            if ref in erased or (theirs and "customer" not in body):
                body = {name: value for name, value in body.items() if name not in _SENDERS}
            revisions[event_id] = {**part, "body": body}
        owner = surrogates[whose] if theirs else self.customer_ref
        return AnswerToErase(self.key, owner, revisions)


def respondent_in(body: Mapping[str, Any]) -> str:
    """Whose an answer is, from the stored body of its event; empty for one that names nobody."""
    ref = (body.get("customer") or {}).get("ref", "")
    return respondent(ref, verified=body.get("verified", True)) if ref else ""


async def answers_until(session: Session, erased: Mapping[Ref, datetime]) -> list[AnswerToErase]:
    """All answers to which one of these customers contributed until then, locked in sorted order."""
    parameters = {
        "stores": [store for store, _ in sorted(erased)],
        "refs": [ref for _, ref in sorted(erased)],
        "at": [erased[key] for key in sorted(erased)],
        "several": sorted({ref for _, ref in erased}),
        "in_stores": sorted({store for store, _ in erased}),
    }
    # Two questions, each with an index of its own: put together by OR they would read every answer there is.
    rows = await session.execute(
        text(f"""WITH theirs AS (
                     SELECT o.store, o.response_id
                     FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:at AS timestamptz[]))
                          AS k(store, ref, erased_at)
                     JOIN notifier.answers o ON o.store = k.store AND o.customer_ref = k.ref
                     WHERE o.received_at IS NULL OR o.received_at <= k.erased_at
                     UNION
                     SELECT a.store, a.response_id FROM notifier.answers a
                     WHERE a.store = ANY(CAST(:in_stores AS text[])) AND jsonb_array_length({_REFS}) > 1
                           AND {_REFS} ?| CAST(:several AS text[]))
                 SELECT a.store, a.response_id, a.customer_ref, CAST(a.revisions AS text)
                 FROM notifier.answers a JOIN theirs USING (store, response_id)
                 ORDER BY a.store, a.response_id FOR UPDATE OF a"""),
        parameters,
    )
    return [AnswerToErase((row[0], row[1]), row[2], orjson.loads(row[3])) for row in rows]


async def rewrite_answers(session: Session, answers: Sequence[AnswerToErase]) -> None:
    """Store these answers without what was erased of them."""
    if answers:
        await session.execute(
            text("""UPDATE notifier.answers a
                    SET customer_ref = n.ref, revisions = CAST(n.revisions AS jsonb)
                    FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[]), CAST(:refs AS text[]),
                                CAST(:revisions AS text[])) AS n(store, id, ref, revisions)
                    WHERE a.store = n.store AND a.response_id = n.id"""),
            {
                "stores": [answer.key[0] for answer in answers],
                "ids": [answer.key[1] for answer in answers],
                "refs": [answer.customer_ref for answer in answers],
                "revisions": [orjson.dumps(answer.revisions).decode() for answer in answers],
            },
        )


async def bury(session: Session, keys: Iterable[AnswerKey]) -> None:
    """Answers of the erased that come late: a row says that there was one, so that nothing is added to it.

    What waited for the original goes with it.
    """
    unique_keys = sorted(set(keys))
    if unique_keys:
        await session.execute(
            text("""INSERT INTO notifier.answers AS a (store, response_id, customer_ref, revisions)
                    SELECT n.store, n.id, n.ref, '{}'
                    FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[]), CAST(:refs AS text[]))
                         AS n(store, id, ref) ORDER BY 1, 2
                    ON CONFLICT (store, response_id)
                    DO UPDATE SET customer_ref = excluded.customer_ref, revisions = '{}'
                    WHERE a.customer_ref IS NULL"""),
            {
                "stores": [store for store, _ in unique_keys],
                "ids": [response for _, response in unique_keys],
                "refs": [surrogate() for _ in unique_keys],
            },
        )


async def known_customers(session: Session, refs: Collection[Ref]) -> set[Ref]:
    """Which of these have a row, locked in sorted order."""
    rows = await session.execute(
        text("""SELECT store, customer_ref FROM notifier.customers
                WHERE (store, customer_ref) IN
                      (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[])))
                ORDER BY store, customer_ref FOR UPDATE"""),
        _columns(sorted(refs)),
    )
    return {(row[0], row[1]) for row in rows}


async def hand_over_customers(
    session: Session, surrogates: Mapping[Ref, str], erased: Mapping[Ref, datetime]
) -> None:
    """Tier and tags go to the surrogate. What was told after the erasure stays: it is somebody new's."""
    keys = sorted(surrogates)
    parameters = {**_columns(keys), "surrogates": [surrogates[key] for key in keys]}
    await session.execute(
        text("""INSERT INTO notifier.customers (store, customer_ref, seq, tier, tags, risk)
                SELECT c.store, n.surrogate, c.seq, c.tier, c.tags, c.risk
                FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:surrogates AS text[]))
                     AS n(store, ref, surrogate)
                JOIN notifier.customers c ON c.store = n.store AND c.customer_ref = n.ref"""),
        parameters,
    )
    await drop_customers(session, erased)


async def drop_customers(session: Session, until: Mapping[Ref, datetime]) -> None:
    """Rows of these customers that tell nothing later than that moment."""
    keys = sorted(until)
    if keys:
        await session.execute(
            text("""DELETE FROM notifier.customers c
                    USING unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:at AS timestamptz[]))
                          AS k(store, ref, erased_at)
                    WHERE c.store = k.store AND c.customer_ref = k.ref
                          AND c.seq <= extract(epoch FROM k.erased_at) * 1000"""),
            {**_columns(keys), "at": [until[key] for key in keys]},
        )


async def end_customers(session: Session, ends: Mapping[Ref, int]) -> None:
    """Rows of customers of whom nothing that was told up to this `seq` may stay."""
    keys = sorted(ends)
    if keys:
        await session.execute(
            text("""DELETE FROM notifier.customers c
                    USING unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:seqs AS bigint[]))
                          AS k(store, ref, seq)
                    WHERE c.store = k.store AND c.customer_ref = k.ref AND c.seq <= k.seq"""),
            {**_columns(keys), "seqs": [ends[key] for key in keys]},
        )


async def erase_from_cases(
    session: Session, cases: Mapping[str, str], causes: Collection[str], *, others: Collection[str] = ()
) -> None:
    """These cases are nobody's: no word by which they could be found, no note, no reply of a receiver.

    `cases`: the surrogate of each. `causes`: root causes that the store offers; one in somebody's own words
    becomes `Other`. `others`: cases of somebody else that an erased answer belongs to.
    """
    ids = sorted({*cases, *others})
    if not ids:
        return
    parameters = {"ids": ids}
    await session.execute(
        text("""UPDATE notifier.cases c SET words = '', changed_at = clock_timestamp(),
                    customer_ref = coalesce(n.ref, c.customer_ref),
                    dismissed_because = CASE WHEN c.dismissed_because IS NULL
                                                  OR c.dismissed_because = ANY(CAST(:kept AS text[]))
                                             THEN c.dismissed_because ELSE 'erased' END,
                    root_cause = CASE WHEN c.root_cause IS NULL OR c.root_cause = ANY(CAST(:causes AS text[]))
                                      THEN c.root_cause ELSE 'Other' END
                FROM unnest(CAST(:ids AS text[]), CAST(:refs AS text[])) AS n(id, ref)
                WHERE c.case_id = n.id"""),
        {
            **parameters,
            "refs": [cases.get(case_id) for case_id in ids],
            "kept": [RETRACTED, BECAUSE_ERASED],
            "causes": sorted(causes),
        },
    )
    await session.execute(
        text("""UPDATE notifier.history SET detail = detail - ARRAY['note', 'reason']
                    || CASE WHEN detail ->> 'root_cause' IS NOT NULL
                                 AND detail ->> 'root_cause' <> ALL(CAST(:causes AS text[]))
                            THEN '{"root_cause": "Other"}' ELSE '{}' END ::jsonb
                WHERE case_id = ANY(CAST(:ids AS text[]))
                      AND (detail ?| ARRAY['note', 'reason', 'root_cause'])"""),
        {**parameters, "causes": sorted(causes)},
    )
    await session.execute(
        text("""UPDATE notifier.deliveries SET last_reply = NULL, last_error = NULL, lease_token = NULL,
                    state = CASE WHEN state = 'pending' THEN 'cancelled' ELSE state END,
                    settled_at = coalesce(settled_at, clock_timestamp())
                WHERE delivery_id IN (SELECT delivery_id FROM notifier.deliveries
                                      WHERE case_id = ANY(CAST(:ids AS text[]))
                                      ORDER BY delivery_id FOR UPDATE)"""),
        parameters,
    )


async def drop_orphans(session: Session, *, kept_days: int = 21) -> int:
    """Changes of answers that never came, once the log has let go of them too; returns how many."""
    deleted = await session.execute(
        text("""DELETE FROM notifier.answers
                WHERE customer_ref IS NULL AND first_seen_at < now() - make_interval(days => :days)"""),
        {"days": kept_days},
    )
    return int(deleted.rowcount)


def _columns(refs: Sequence[Ref]) -> dict[str, list[str]]:
    return {"stores": [store for store, _ in refs], "refs": [ref for _, ref in refs]}
