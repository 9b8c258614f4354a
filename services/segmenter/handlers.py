"""Which event goes to which feature: the table `FACTS` at the bottom, and erasures.

A batch of events is applied in one transaction: facts are merged (`facts`), then the customers whom they are
about are folded (`tiers`). Locks are taken in the order fact, customer, each sorted.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from services.segmenter.facts import store as fact_store
from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.domain.records import EMPTY, AnswerRecord, Kind, Outcome, Record
from services.segmenter.facts.erasing import LEDGER, late_for_the_erased, named_at, without_erased_customer
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
from services.segmenter.tiers.domain.ruling import RulesByStore
from services.segmenter.tiers.erasing import erase
from services.segmenter.tiers.folding import Clock, refold
from shared.db import Session
from shared.db.erasures import erased_until, erasure_outcomes
from shared.events import Event, Received
from shared.events.cases import CaseClosed, CaseOpened
from shared.events.erasures import CustomerErased
from shared.events.orders import EngagementRecorded, OrderDelivered, OrderPlaced, OrderRefunded
from shared.events.responses import ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.events.topics import CASES, ERASURES, ORDERS, RESPONSES
from shared.kafka import Handler, OutcomeCounts
from shared.ops import metrics


def handlers(rules_by_store: RulesByStore, clock: Clock, secret: bytes) -> Mapping[type[Event], Handler]:
    """One handler for every event, so that a batch takes its locks once and in one order.

    `secret` names orders where their ids may not stay.
    """

    async def handle(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
        outcomes: Counter[tuple[str, str]] = Counter()
        erasures = [received for received in batch if isinstance(received.event, CustomerErased)]
        if erasures:
            erased = erased_until(received.event for received in erasures)
            newly_erased = await erase(
                session, erased, rules_by_store=rules_by_store, now=clock(), secret=secret
            )
            outcomes.update(erasure_outcomes(erasures, newly_erased))
        else:
            await LEDGER.share(session)
        about_facts = [received for received in batch if not isinstance(received.event, CustomerErased)]
        if about_facts:
            outcomes.update(
                await apply(session, about_facts, rules_by_store=rules_by_store, clock=clock, secret=secret)
            )
        return outcomes

    return dict.fromkeys((*FACTS, CustomerErased), handle)


async def apply(
    session: Session, batch: Sequence[Received], *, rules_by_store: RulesByStore, clock: Clock, secret: bytes
) -> OutcomeCounts:
    """Merge the events of a batch into the facts, and fold the customers whose facts changed."""
    outcomes: Counter[tuple[str, str]] = Counter()
    keys = [_fact_key(received.event, FACTS[type(received.event)].kind) for received in batch]
    known = await fact_store.lock_facts(session, keys)
    late = await late_for_the_erased(session, batch, known, secret=secret)
    known = {key: record for key, record in known.items() if key not in late.parked}
    merged: dict[FactKey, Record] = dict(known)
    named_since: dict[FactKey, datetime] = {}
    affected = _Affected()
    refused = 0
    for place, (key, received) in enumerate(zip(keys, batch, strict=True)):
        if place in late.places:
            outcomes[received.topic, "skipped"] += 1
            continue
        kind, merge = FACTS[type(received.event)]
        before = merged.get(key, EMPTY[kind])
        received = without_erased_customer(received, before)  # noqa: PLW2901 - what follows sees no other
        after, outcome = merge(before, received.event, received.envelope.id)
        merged[key] = after
        if (at := named_at(after, received)) is not None:
            named_since[key] = at
        outcomes[received.topic, outcome] += 1
        lost = outcome is Outcome.CONFLICT and named_at(after, received) is None
        affected.note(received, before, after, lost=lost)
        refused += max(0, _refused(after) - _refused(before))
        _measure(received, outcome, clock)
    changed = {key: record for key, record in merged.items() if record != known.get(key)}
    await fact_store.save_facts(
        session,
        new={key: record for key, record in changed.items() if key not in known},
        known={key: record for key, record in changed.items() if key in known},
        received=named_since,
    )
    await refold(
        session,
        affected.named,
        rules_by_store=rules_by_store,
        now=clock(),
        stale=affected.stale,
        left=affected.left,
        traces=affected.traces,
    )
    metrics.AMENDMENTS_REFUSED.inc(refused)
    return outcomes


def _refused(record: Record) -> int:
    return record.refused if isinstance(record, AnswerRecord) else 0


class _Affected:
    """The customers whom the events of a batch are about.

    `named`: all of them, with what was said about them; `stale`: those whose facts changed; `left`: those
    whose fact is somebody else's now; `traces`: the trace of the event that changed them.
    """

    def __init__(self) -> None:
        self.named: dict[CustomerKey, Contact] = {}
        self.stale: set[CustomerKey] = set()
        self.left: set[CustomerKey] = set()
        self.traces: dict[CustomerKey, str] = {}

    def note(self, received: Received, before: Record, after: Record, *, lost: bool) -> None:
        """Add the customers of one event.

        One that `lost` to another under its id makes nobody a customer. What it says of how to reach somebody
        is kept, since which one loses must not depend on the order of arrival.
        """
        ref, contact = contact_in(received)
        if lost or ref != after.ref:
            contact = replace(contact, known=False)
        refs = {before.ref, after.ref} - {None} if before != after else set()
        store = received.event.store
        for name in (refs | {ref}) - {None}:
            key = CustomerKey(store, str(name))
            self.named[key] = self.named.get(key, Contact()).merged(contact if name == ref else Contact())
            if name in refs:
                self.stale.add(key)
                self.traces[key] = received.envelope.traceparent
        if before.ref is not None and before.ref != after.ref:
            self.left.add(CustomerKey(store, before.ref))


def _measure(received: Received, outcome: Outcome, clock: Clock) -> None:
    event = received.event
    if isinstance(event, ResponseSubmitted) and outcome is Outcome.OK and not event.historical:
        waited = (clock() - utc(event.received_at)).total_seconds()
        metrics.PIPELINE_LATENCY.labels("segmented").observe(max(0.0, waited))


def _fact_key(event: Event, kind: Kind) -> FactKey:
    (name,) = event.subject()
    return FactKey(event.store, kind, name)


class Merge(NamedTuple):
    """The kind of fact that an event is about, and the function that merges the event into it."""

    kind: Kind
    function: Callable[[Any, Any, str], tuple[Record, Outcome]]


FACTS: Mapping[type[Event], Merge] = {
    ResponseSubmitted: Merge(Kind.ANSWER, submitted),
    ResponseAmended: Merge(Kind.ANSWER, amended),
    ResponseRetracted: Merge(Kind.ANSWER, retracted),
    OrderPlaced: Merge(Kind.ORDER, placed),
    OrderDelivered: Merge(Kind.ORDER, delivered),
    OrderRefunded: Merge(Kind.ORDER, refunded),
    EngagementRecorded: Merge(Kind.ENGAGEMENT, engaged),
    CaseOpened: Merge(Kind.CASE, case_opened),
    CaseClosed: Merge(Kind.CASE, case_closed),
}

TOPICS = (RESPONSES, ORDERS, CASES, ERASURES)
"""What the segmenter consumes: the topics of the events in the table, and of erasures."""
