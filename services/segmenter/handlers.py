"""A batch of events in one transaction: merge the facts, then fold the customers that they are about.

Locks are taken in the order fact, customer, each sorted.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.segmenter.facts import store as facts
from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.domain.records import EMPTY, Kind, Outcome, Record
from services.segmenter.facts.erasing import LEDGER, named_at, of_nobody, of_the_erased
from services.segmenter.facts.handlers import (
    amended,
    case_closed,
    case_opened,
    contact_in,
    delivered,
    engaged,
    placed,
    refunded,
    retracted,
    submitted,
    utc,
)
from services.segmenter.facts.store import CustomerKey, FactKey
from services.segmenter.tiers.domain.ruling import Rulebook
from services.segmenter.tiers.erasing import erase
from services.segmenter.tiers.folding import Clock, refold
from shared.db import Session
from shared.db.erasures import outcomes as ended
from shared.db.erasures import until
from shared.events import Event, Received
from shared.events.cases import CaseClosed, CaseOpened
from shared.events.erasures import CustomerErased
from shared.events.orders import EngagementRecorded, OrderDelivered, OrderPlaced, OrderRefunded
from shared.events.responses import ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.events.topics import CASES, ERASURES, ORDERS, RESPONSES
from shared.kafka import Handler, Outcomes
from shared.ops import metrics


def handlers(book: Rulebook, clock: Clock, secret: bytes) -> Mapping[type[Event], Handler]:
    """One handler for every event, so that a batch takes its locks once and in one order.

    `secret` names orders where their ids may not stay.
    """

    async def handle(session: Session, batch: Sequence[Received]) -> Outcomes:
        outcomes: Counter[tuple[str, str]] = Counter()
        erasures = [received for received in batch if isinstance(received.event, CustomerErased)]
        if erasures:
            erased = until(received.event for received in erasures)
            news = await erase(session, erased, book=book, now=clock(), secret=secret)
            outcomes.update(ended(erasures, news))
        else:
            await LEDGER.share(session)
        told = [received for received in batch if not isinstance(received.event, CustomerErased)]
        if told:
            outcomes.update(await apply(session, told, book=book, clock=clock, secret=secret))
        return outcomes

    return dict.fromkeys((*HANDLERS, CustomerErased), handle)


async def apply(
    session: Session, batch: Sequence[Received], *, book: Rulebook, clock: Clock, secret: bytes
) -> Outcomes:
    """Merge the events of a batch into the facts, and fold the customers whose facts changed."""
    outcomes: Counter[tuple[str, str]] = Counter()
    keys = [_fact_key(received.event, HANDLERS[type(received.event)].kind) for received in batch]
    known = await facts.locked(session, keys)
    late = await of_the_erased(session, batch, known, secret=secret)
    known = {key: record for key, record in known.items() if key not in late.parked}
    merged: dict[FactKey, Record] = dict(known)
    told_at: dict[FactKey, datetime] = {}
    visit = _Visit()
    for place, (key, received) in enumerate(zip(keys, batch, strict=True)):
        if place in late.places:
            outcomes[received.topic, "skipped"] += 1
            continue
        kind, merge = HANDLERS[type(received.event)]
        before = merged.get(key, EMPTY[kind])
        received = of_nobody(received, before)  # noqa: PLW2901
        after, outcome = merge(before, received.event, received.envelope.id)
        merged[key] = after
        if (at := named_at(after, received)) is not None:
            told_at[key] = at
        outcomes[received.topic, outcome] += 1
        visit.note(received, before, after)
        _measure(received, outcome, clock)
    changed = {key: record for key, record in merged.items() if record != known.get(key)}
    await facts.save(
        session,
        new={key: record for key, record in changed.items() if key not in known},
        known={key: record for key, record in changed.items() if key in known},
        received=told_at,
    )
    await refold(session, visit.named, book=book, now=clock(), stale=visit.stale, traces=visit.traces)
    return outcomes


class _Visit:
    """Whom the events of a batch are about."""

    def __init__(self) -> None:
        self.named: dict[CustomerKey, Contact] = {}
        self.stale: set[CustomerKey] = set()
        self.traces: dict[CustomerKey, str] = {}

    def note(self, received: Received, before: Record, after: Record) -> None:
        """A customer is named even by an event that loses: which one loses depends on nobody's timing."""
        contact = contact_in(received)
        refs = {before.ref, after.ref} if before != after else set()
        for ref in (refs | {contact[0]}) - {None}:
            key = CustomerKey(received.event.store, str(ref))
            said = contact[1] if ref == contact[0] else Contact()
            self.named[key] = self.named.get(key, Contact()).merged(said)
            if ref in refs:
                self.stale.add(key)
                self.traces[key] = received.envelope.traceparent


def _measure(received: Received, outcome: Outcome, clock: Clock) -> None:
    event = received.event
    if isinstance(event, ResponseSubmitted) and outcome is Outcome.OK and not event.historical:
        waited = (clock() - utc(event.received_at)).total_seconds()
        metrics.PIPELINE_LATENCY.labels("segmented").observe(max(0.0, waited))


def _fact_key(event: Event, kind: Kind) -> FactKey:
    (name,) = event.subject()
    return FactKey(event.store, kind, name)


class Step(NamedTuple):
    """The kind of fact that an event is about, and what it does to it."""

    kind: Kind
    merge: Callable[[Any, Any, str], tuple[Record, Outcome]]


HANDLERS: Mapping[type[Event], Step] = {
    ResponseSubmitted: Step(Kind.ANSWER, submitted),
    ResponseAmended: Step(Kind.ANSWER, amended),
    ResponseRetracted: Step(Kind.ANSWER, retracted),
    OrderPlaced: Step(Kind.ORDER, placed),
    OrderDelivered: Step(Kind.ORDER, delivered),
    OrderRefunded: Step(Kind.ORDER, refunded),
    EngagementRecorded: Step(Kind.ENGAGEMENT, engaged),
    CaseOpened: Step(Kind.CASE, case_opened),
    CaseClosed: Step(Kind.CASE, case_closed),
}

TOPICS = (RESPONSES, ORDERS, CASES, ERASURES)
"""What the segmenter consumes: the topics of the events in the table, and of erasures."""
