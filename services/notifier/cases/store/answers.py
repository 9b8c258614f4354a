"""Answers as their events told them: adding events, and reading answers as they are now."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from services.notifier.cases.domain.answers import (
    Amended,
    Answer,
    PastAnswer,
    Person,
    Retracted,
    Revision,
    Submitted,
    fields_that_count,
    fold,
)
from services.notifier.cases.store.customers import Ref
from shared.db import Session
from shared.events import EVENTS, Event
from shared.events.responses import AMENDABLE, ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.feedback.identity import unclaimed
from shared.feedback.metrics import Group
from shared.ops.logs import log

_log = log("notifier")

AnswerKey = tuple[str, str]
"""(store, response id)"""

Events = Mapping[str, Event]
"""The events of one answer by their ids."""

_FEW_AMENDMENTS = 8
"""So many are kept as they came."""

_FOLD = "metric, scale, score, grp, answered_at, received_at, retracted"
_FOLD_ARRAYS = """CAST(:metrics AS text[]), CAST(:scales AS text[]), CAST(:scores AS int[]),
    CAST(:groups AS text[]), CAST(:answered AS timestamptz[]), CAST(:received AS timestamptz[]),
    CAST(:gone AS boolean[])"""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer that has a row: whose it is, and which events it is made of."""

    customer_ref: str | None
    events: frozenset[str]


def revision_of(event_id: str, event: Event) -> Revision | None:
    """What an event says of its answer, in the words of the domain; None for one that names nobody."""
    match event:
        case ResponseSubmitted():
            return _submitted(event_id, event)
        case ResponseAmended():
            return Amended(
                event_id,
                event.received_at,
                event.revision,
                score=event.score,
                comment=event.comment,
                complete=event.complete,
                follow_ups=None
                if event.answers is None
                else tuple((answer.question, answer.value) for answer in event.answers),
                of=event.fingerprint,
                metric=event.metric,
                scale=event.scale,
            )
        case ResponseRetracted():
            return Retracted(event_id, event.received_at)
        case _:
            return None


def _submitted(event_id: str, event: ResponseSubmitted) -> Submitted | None:
    customer, ref, order = event.customer, event.respondent, event.order
    if customer is None or ref is None:
        return None
    return Submitted(
        event_id,
        received_at=event.received_at,
        answered_at=event.answered_at,
        metric=event.metric,
        scale=event.scale,
        score=event.score,
        person=Person(ref, customer.id, customer.email, customer.name),
        verified=event.verified,
        comment=event.comment,
        complete=event.complete,
        touchpoint=event.touchpoint,
        channel=event.channel.raw,
        order_id=order.id if order else None,
        order_value=order.value if order else None,
        currency=order.currency if order else None,
        segments=tuple(sorted(event.segments.items())),
        follow_ups=tuple((answer.question, answer.value) for answer in event.answers),
        fingerprint=event.fingerprint,
    )


@dataclass(frozen=True, slots=True)
class Added:
    """What the events that were added made of their answers."""

    answers: Mapping[AnswerKey, Answer | None]
    """As they are now; None where the original lacks."""
    replaced: Set[AnswerKey]
    """Those whose stored original lost to one of the events."""
    newly_refused: int
    """How many amended scores are impossible that were not before."""


async def add_events(session: Session, incoming: Mapping[AnswerKey, Events]) -> Added:
    """Add events to their answers. The rows stay locked, in sorted order. Adding what is known already
    changes nothing."""
    keys = sorted(incoming)
    alone = {key: _folded(key[1], incoming[key]) for key in keys}
    rows = await session.execute(
        text(f"""INSERT INTO notifier.answers AS a (store, response_id, customer_ref, revisions, {_FOLD})
                SELECT n.store, n.id, n.ref, CAST(n.revisions AS jsonb), {_FOLD}
                FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[]), CAST(:refs AS text[]),
                            CAST(:revisions AS text[]), {_FOLD_ARRAYS})
                     AS n(store, id, ref, revisions, {_FOLD})
                ORDER BY 1, 2
                ON CONFLICT (store, response_id) DO UPDATE
                SET revisions = a.revisions || excluded.revisions,
                    customer_ref = coalesce(a.customer_ref, excluded.customer_ref)
                RETURNING store, response_id,
                          CASE WHEN xmax = 0 THEN NULL ELSE CAST(revisions AS text) END AS merged"""),
        {
            "stores": [store for store, _ in keys],
            "ids": [response for _, response in keys],
            "refs": [answer.body.person.ref if (answer := alone[key]) else None for key in keys],
            "revisions": [_stored(incoming[key]) for key in keys],
            **_columns([alone[key] for key in keys]),
        },
    )
    events_of = {(r.store, r.response_id): _read(r.merged) for r in rows if r.merged}
    merged = {key: _folded(key[1], events) for key, events in events_of.items()}
    await _refold(session, merged, {key: _shortened(merged[key], events_of[key]) for key in merged})
    before = {key: _without(events_of[key], incoming[key]) for key in merged}
    folded = alone | merged
    return Added(
        folded,
        {key for key, answer in merged.items() if answer and _is_replaced(answer, before[key])},
        sum(
            max(0, answer.refused - _refused(key[1], before.get(key, {})))
            for key, answer in folded.items()
            if answer and answer.refused
        ),
    )


def _without(events: Events, others: Events) -> Events:
    return {i: event for i, event in events.items() if i not in others}


def _refused(response_id: str, events: Events) -> int:
    answer = _folded(response_id, events) if events else None
    return answer.refused if answer else 0


async def _refold(
    session: Session, folded: Mapping[AnswerKey, Answer | None], shortened: Mapping[AnswerKey, Events | None]
) -> None:
    """Write what answers say now into their columns, and the `shortened` events; the rows are ours."""
    if not folded:
        return
    keys = sorted(folded)
    assigned = ", ".join(f"{name} = n.{name}" for name in _FOLD.split(", "))
    await session.execute(
        text(f"""UPDATE notifier.answers a SET {assigned}, customer_ref = coalesce(n.ref, a.customer_ref),
                    revisions = coalesce(CAST(n.revisions AS jsonb), a.revisions)
                FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[]), CAST(:refs AS text[]),
                            CAST(:revisions AS text[]), {_FOLD_ARRAYS})
                     AS n(store, id, ref, revisions, {_FOLD})
                WHERE a.store = n.store AND a.response_id = n.id"""),
        {
            "stores": [store for store, _ in keys],
            "ids": [response for _, response in keys],
            "refs": [answer.body.person.ref if (answer := folded[key]) else None for key in keys],
            "revisions": [_stored(events) if (events := shortened[key]) else None for key in keys],
            **_columns([folded[key] for key in keys]),
        },
    )


def _is_replaced(answer: Answer, before: Events) -> bool:
    """Whether another body counted before the events came in."""
    bodies = [i for i, event in before.items() if isinstance(event, ResponseSubmitted)]
    counted = before[min(bodies)] if bodies else None
    return isinstance(counted, ResponseSubmitted) and counted.fingerprint != answer.body.fingerprint


def _shortened(answer: Answer | None, events: Events) -> Events | None:
    """The events without bodies that lost, and without what of many amendments can never say anything again;
    None if that changes nothing. So an answer that somebody amends for hours keeps a short row."""
    body = answer.body if answer else None
    kept = {
        i: e for i, e in events.items() if not (body and isinstance(e, ResponseSubmitted) and i > body.id)
    }
    amendments = [a for i, event in events.items() if isinstance(a := revision_of(i, event), Amended)]
    if len(amendments) > _FEW_AMENDMENTS:
        for event_id, fields in fields_that_count(body, amendments).items():
            without = dict.fromkeys(AMENDABLE - fields)
            kept[event_id] = kept[event_id].model_copy(update=without)
            if not fields:
                del kept[event_id]
    return kept if kept != events else None


def _columns(answers: Sequence[Answer | None]) -> dict[str, list[Any]]:
    """The folds column by column, in the order of `_FOLD`; NULL where the original is unknown."""
    return {
        "metrics": [a and a.body.metric for a in answers],
        "scales": [a and a.body.scale for a in answers],
        "scores": [a.score if a else None for a in answers],
        "groups": [a and a.group.name.lower() for a in answers],
        "answered": [a and a.body.answered_at for a in answers],
        "received": [a and a.body.received_at for a in answers],
        "gone": [bool(a and a.retracted) for a in answers],
    }


async def read(session: Session, keys: Iterable[AnswerKey]) -> dict[AnswerKey, Answer]:
    """These answers as they are now; without those whose original is unknown."""
    wanted_keys = list(keys)
    rows = await session.execute(
        text("""SELECT store, response_id, CAST(revisions AS text) AS revisions FROM notifier.answers
                WHERE (store, response_id) IN
                      (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[])))"""),
        {"stores": [store for store, _ in wanted_keys], "ids": [response for _, response in wanted_keys]},
    )
    folded = {(r.store, r.response_id): readable(r.response_id, r.revisions) for r in rows}
    return {key: answer for key, answer in folded.items() if answer}


def readable(response_id: str, revisions: str) -> Answer | None:
    """The answer of a row; None when its original is unknown, or when this code cannot read it."""
    try:
        return _folded(response_id, _read(revisions))
    except ValueError as error:  # it must not hide the others
        _log.error("answer.unreadable", response_id=response_id, exc_info=error)
        return None


async def since(
    session: Session, store: str, moment: datetime, *, at_once: int
) -> AsyncIterator[list[tuple[str, Answer]]]:
    """The store's readable answers that reached us since then, each with its customer, in that order."""
    place = (moment, "")
    while True:
        rows = await session.execute(
            text("""SELECT response_id, customer_ref, received_at, CAST(revisions AS text) AS revisions
                    FROM notifier.answers
                    WHERE store = :store AND (received_at, response_id) > (:moment, :after)
                          AND customer_ref IS NOT NULL
                    ORDER BY received_at, response_id LIMIT :at_once"""),
            {"store": store, "moment": place[0], "after": place[1], "at_once": at_once},
        )
        page = rows.all()
        if not page:
            return
        place = (page[-1].received_at, page[-1].response_id)
        folded = [(row.customer_ref, _folded(row.response_id, _read(row.revisions))) for row in page]
        yield [(ref, answer) for ref, answer in folded if answer]


def _stored(events: Events) -> str:
    parts = {i: {"type": event.type, "body": orjson.Fragment(event.body())} for i, event in events.items()}
    return orjson.dumps(parts).decode()


def _read(stored: str) -> dict[str, Event]:
    parts: dict[str, dict[str, Any]] = orjson.loads(stored)
    return {i: EVENTS[part["type"]].model_validate(part["body"]) for i, part in parts.items()}


def _folded(response_id: str, events: Events) -> Answer | None:
    revisions = (revision_of(i, event) for i, event in events.items())
    return fold(response_id, [revision for revision in revisions if revision])


# What customers answered before.


async def past_answers(
    session: Session, refs: Iterable[Ref], *, most: int = 20
) -> dict[Ref, list[PastAnswer]]:
    """The known answers of these customers that were not retracted, the newest first."""
    customers = sorted(set(refs))
    if not customers:
        return {}
    rows = await session.execute(
        text("""SELECT w.store, w.ref, past.* FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]))
                     AS w(store, ref)
                CROSS JOIN LATERAL (
                    SELECT response_id, metric, scale, score, grp, answered_at FROM notifier.answers a
                    WHERE a.store = w.store AND a.customer_ref = w.ref
                          AND a.score IS NOT NULL AND NOT a.retracted
                    ORDER BY a.answered_at DESC, a.response_id DESC LIMIT :most) past"""),
        {"stores": [store for store, _ in customers], "refs": [ref for _, ref in customers], "most": most},
    )
    past_of: dict[Ref, list[PastAnswer]] = {}
    for row in rows:
        past = PastAnswer(
            row.response_id, row.metric, row.scale, row.score, Group[row.grp.upper()], row.answered_at
        )
        past_of.setdefault((row.store, row.ref), []).append(past)
    return past_of


# What is known before a batch is applied, in one look: each is a round trip, however little it finds.


@dataclass(frozen=True, slots=True)
class KnownBefore:
    """What the database knows of the customers and answers of a batch before the batch is applied."""

    erased: dict[Ref, datetime] = field(default_factory=dict)
    """Who was erased, and until when nothing of theirs counts as theirs."""
    answers: dict[AnswerKey, StoredAnswer] = field(default_factory=dict)
    """The answers that have a row."""
    with_cases: set[Ref] = field(default_factory=set)
    """Who has a case in work, or one that ended within `days`."""


async def known_before(
    session: Session, people: Iterable[Ref], keys: Iterable[AnswerKey], *, days: int
) -> KnownBefore:
    """What is known of these customers and answers. Nothing is locked by it."""
    refs, answer_keys = sorted(set(people)), sorted(set(keys))
    known = KnownBefore()
    if not refs and not answer_keys:
        return known
    rows = await session.execute(
        text("""WITH who AS (
                    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]),
                                         CAST(:plain AS text[])) AS w(store, ref, plain))
                SELECT 'erased' AS what, w.store, w.ref AS id, max(e.erased_at) AS at,
                       CAST(NULL AS text) AS customer_ref, CAST(NULL AS text[]) AS events
                FROM who w JOIN notifier.erasures e
                     ON e.store = w.store AND e.ref = ANY(ARRAY[w.ref, w.plain]) -- as Erasures.of
                GROUP BY w.store, w.ref
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
            "plain": [unclaimed(ref) for _, ref in refs],
            "days": days,
            "answer_stores": [store for store, _ in answer_keys],
            "ids": [response for _, response in answer_keys],
        },
    )
    for row in rows:
        key = (row.store, row.id)
        match row.what:
            case "erased":
                known.erased[key] = row.at
            case "case":
                known.with_cases.add(key)
            case _:
                known.answers[key] = StoredAnswer(row.customer_ref, frozenset(row.events))
    return known
