"""A batch of events in one transaction: merge the facts, then fold the customers that they are about.

Locks are taken in the order fact, customer, each sorted.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from services.segmenter.domain.contact import Contact
from services.segmenter.domain.records import EMPTY, Kind, Outcome, Record
from services.segmenter.domain.ruling import Rulebook
from services.segmenter.handlers.events import HANDLERS, contact_in, utc
from services.segmenter.handlers.folding import refold
from services.segmenter.store import facts
from services.segmenter.store.facts import CustomerKey, FactKey
from shared.db import Session
from shared.events import Event, Received
from shared.events.responses import ResponseSubmitted
from shared.kafka import Handler, Outcomes
from shared.ops import metrics

Clock = Callable[[], datetime]


def bound(book: Rulebook, clock: Clock) -> Mapping[type[Event], Handler]:
    """The handlers as a consumer takes them.

    One handler for all events: so a batch takes its locks once, in one order, whatever it is made of.
    """

    async def handle(session: Session, batch: Sequence[Received]) -> Outcomes:
        return await apply(session, batch, book=book, clock=clock)

    return dict.fromkeys(HANDLERS, handle)


async def apply(session: Session, batch: Sequence[Received], *, book: Rulebook, clock: Clock) -> Outcomes:
    """Merge the events of a batch into the facts, and fold the customers whose facts changed."""
    steps = [(received, *HANDLERS[type(received.event)]) for received in batch]
    keys = [_fact_key(received.event, kind) for received, kind, _ in steps]
    known = await facts.locked(session, keys)
    merged: dict[FactKey, Record] = dict(known)
    outcomes: Counter[tuple[str, str]] = Counter()
    visit = _Visit()
    for key, (received, kind, merge) in zip(keys, steps, strict=True):
        before = merged.get(key, EMPTY[kind])
        after, outcome = merge(before, received.event, received.envelope.id)
        merged[key] = after
        outcomes[received.topic, outcome] += 1
        visit.note(received, before, after)
        _measure(received, outcome, clock)
    changed = {key: record for key, record in merged.items() if record != known.get(key)}
    await facts.save(
        session,
        new={key: record for key, record in changed.items() if key not in known},
        known={key: record for key, record in changed.items() if key in known},
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
