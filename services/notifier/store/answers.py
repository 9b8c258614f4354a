"""Everything known of an answer, as the events told it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import text

from services.notifier.domain import Amended, Answer, Person, Retracted, Revision, Submitted, fold
from shared.db import Session
from shared.events import EVENTS, Event
from shared.events.responses import ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.ops.logs import log

_log = log("notifier")

AnswerKey = tuple[str, str]
"""(store, response id)"""

Events = Mapping[str, Event]
"""The events of one answer by their ids."""


@dataclass(frozen=True, slots=True)
class Known:
    """An answer that has a row: whose it is, and which events it is made of."""

    customer_ref: str | None
    events: frozenset[str]


def revision_of(event_id: str, event: Event) -> Revision | None:
    """What an event says of its answer, in the words of the domain; None for one that names nobody."""
    match event:
        case ResponseSubmitted(customer=None):
            return None
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
            )
        case ResponseRetracted():
            return Retracted(event_id, event.received_at)
        case _:
            return None


def _submitted(event_id: str, event: ResponseSubmitted) -> Submitted | None:
    if event.customer is None:
        return None
    order = event.order
    return Submitted(
        event_id,
        received_at=event.received_at,
        answered_at=event.answered_at,
        metric=event.metric,
        scale=event.scale,
        score=event.score,
        person=Person(event.customer.ref, event.customer.id, event.customer.email, event.customer.name),
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
    )


async def known(session: Session, keys: Iterable[AnswerKey]) -> dict[AnswerKey, Known]:
    """Which of these answers have a row."""
    wanted = list(keys)
    rows = await session.execute(
        text("""SELECT store, response_id, customer_ref,
                       ARRAY(SELECT jsonb_object_keys(revisions)) AS events
                FROM notifier.answers WHERE (store, response_id) IN
                     (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[])))"""),
        {"stores": [store for store, _ in wanted], "ids": [response for _, response in wanted]},
    )
    return {(r.store, r.response_id): Known(r.customer_ref, frozenset(r.events)) for r in rows}


async def add(session: Session, news: Mapping[AnswerKey, Events]) -> dict[AnswerKey, Answer | None]:
    """Add events to their answers; returns the answers as they are now, None where the original lacks.

    The rows stay locked, in sorted order. Adding what is known already changes nothing.
    """
    keys = sorted(news)
    rows = await session.execute(
        text("""INSERT INTO notifier.answers AS a (store, response_id, customer_ref, revisions)
                SELECT n.store, n.id, n.ref, CAST(n.revisions AS jsonb)
                FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[]), CAST(:refs AS text[]),
                            CAST(:revisions AS text[])) AS n(store, id, ref, revisions)
                ORDER BY 1, 2
                ON CONFLICT (store, response_id) DO UPDATE
                SET revisions = a.revisions || excluded.revisions,
                    customer_ref = coalesce(a.customer_ref, excluded.customer_ref)
                RETURNING store, response_id,
                          CASE WHEN xmax = 0 THEN NULL ELSE CAST(revisions AS text) END AS merged"""),
        {
            "stores": [store for store, _ in keys],
            "ids": [response for _, response in keys],
            "refs": [_customer_ref(news[key]) for key in keys],
            "revisions": [_stored(news[key]) for key in keys],
        },
    )
    return {
        (row.store, row.response_id): _folded(
            row.response_id,
            _read(row.merged) if row.merged else news[row.store, row.response_id],
        )
        for row in rows
    }


async def read(session: Session, keys: Iterable[AnswerKey]) -> dict[AnswerKey, Answer]:
    """These answers as they are now; without those whose original is unknown."""
    wanted = list(keys)
    rows = await session.execute(
        text("""SELECT store, response_id, CAST(revisions AS text) AS revisions FROM notifier.answers
                WHERE (store, response_id) IN
                      (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[])))"""),
        {"stores": [store for store, _ in wanted], "ids": [response for _, response in wanted]},
    )
    found: dict[AnswerKey, Answer] = {}
    for row in rows:
        try:
            answer = _folded(row.response_id, _read(row.revisions))
        except ValueError as error:  # one that this code cannot read must not hide the others
            _log.error("answer.unreadable", response_id=row.response_id, exc_info=error)
        else:
            if answer:
                found[row.store, row.response_id] = answer
    return found


def _customer_ref(events: Events) -> str | None:
    bodies = [event for _, event in sorted(events.items()) if isinstance(event, ResponseSubmitted)]
    return next((body.customer.ref for body in bodies if body.customer), None)


def _stored(events: Events) -> str:
    parts = {i: {"type": event.type, "body": orjson.Fragment(event.body())} for i, event in events.items()}
    return orjson.dumps(parts).decode()


def _read(stored: str) -> dict[str, Event]:
    parts: dict[str, dict[str, Any]] = orjson.loads(stored)
    return {i: EVENTS[part["type"]].model_validate(part["body"]) for i, part in parts.items()}


def _folded(response_id: str, events: Events) -> Answer | None:
    found = (revision_of(i, event) for i, event in events.items())
    return fold(response_id, [revision for revision in found if revision])
