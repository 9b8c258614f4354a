"""People who asked to be forgotten: their facts keep their worth under a surrogate, and never come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.segmenter.facts.domain.records import (
    AnswerRecord,
    CaseRecord,
    EngagementRecord,
    Kind,
    OrderRecord,
    Record,
)
from services.segmenter.facts.store import FactKey, remove_facts
from shared.db import Session
from shared.db.erasures import Erasures, Ref
from shared.events import Event, Received
from shared.events.cases import CaseClosed, CaseOpened
from shared.events.orders import EngagementRecorded, OrderDelivered, OrderPlaced, OrderRefunded
from shared.events.responses import ResponseSubmitted
from shared.feedback.identity import is_erased, order_ref

LEDGER = Erasures("segmenter")
"""People by their references, and orders of theirs by the HMAC of the id: what is told of these later would
bring the id back."""


class Late(NamedTuple):
    """What of a batch belongs to people who were erased, by its place; and facts that waited for them."""

    places: frozenset[int]
    parked: frozenset[FactKey]


async def of_the_erased(
    session: Session, batch: Sequence[Received], known: Mapping[FactKey, Record], *, secret: bytes
) -> Late:
    """Which events were received before their customer was erased; what waited for them is deleted."""
    people = {place: ref for place, received in enumerate(batch) if (ref := _customer(received.event))}
    orders = {place: ref for place, received in enumerate(batch) if (ref := _order(received.event, secret))}
    ledger = await LEDGER.of(session, {*people.values(), *orders.values()})
    if not ledger:
        return Late(frozenset(), frozenset())
    places, parked, gone = set[int](), set[FactKey](), dict[Ref, datetime]()
    for place, ref in people.items():
        event = batch[place].event
        if ref in ledger and received_at(event) <= ledger[ref]:
            places.add(place)
            if isinstance(event, OrderPlaced):
                gone[orders[place]] = ledger[ref]
                parked.add(FactKey(event.store, Kind.ORDER, event.order_id))
    if gone:
        await LEDGER.enter(session, gone)
    parked = {key for key in parked if key in known and known[key].ref is None}
    await remove_facts(session, parked)
    for place, ref in orders.items():
        event = batch[place].event
        if isinstance(event, OrderDelivered | OrderRefunded) and ref in (ledger.keys() | gone.keys()):
            stored = FactKey(event.store, Kind.ORDER, event.order_id) in known.keys() - parked
            placed_anew = any(orders.get(other) == ref for other in people.keys() - places)
            if not stored and not placed_anew:
                places.add(place)
    return Late(frozenset(places), frozenset(parked))


def of_nobody(received: Received, before: Record) -> Received:
    """A case of somebody who was erased stays under this service's surrogate, whatever name it is told by."""
    event = received.event
    if isinstance(event, CaseOpened | CaseClosed) and (
        is_erased(before.ref) or is_erased(event.customer_ref)
    ):
        return received._replace(event=event.model_copy(update={"customer_ref": None}))
    return received


def named_at(after: Record, received: Received) -> datetime | None:
    """When the event came that names the customer of a record; None when that was another one."""
    match after:
        case CaseRecord():
            return min((*after.opened_at, *after.closed_at), default=None)
        case AnswerRecord(said=original) | EngagementRecord(said=original) | OrderRecord(placed=original):
            named = original is not None and original.ce_id == received.envelope.id
            return received_at(received.event) if named else None
    return None


def received_at(event: Event) -> datetime:
    """When an event reached the product; a case's happened here."""
    return event.at if isinstance(event, CaseOpened | CaseClosed) else event.received_at  # type: ignore[attr-defined]


def _customer(event: Event) -> Ref | None:
    match event:
        case ResponseSubmitted(customer=customer) if customer:
            return event.store, customer.ref
        case OrderPlaced(customer=customer) | EngagementRecorded(customer=customer):
            return event.store, customer.ref
        case CaseOpened(customer_ref=ref) | CaseClosed(customer_ref=ref) if ref:
            return event.store, ref
    return None


def _order(event: Event, secret: bytes) -> Ref | None:
    if isinstance(event, OrderPlaced | OrderDelivered | OrderRefunded):
        return event.store, order_ref(secret, event.store, event.order_id)
    return None
