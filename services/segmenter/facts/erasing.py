"""The ledger of erased people, and events about them that arrive late: nothing of them is stored again."""

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
"""Erased people by their references, and their orders by the HMAC of the order id: a later event about such
an order would bring the id back."""


class Late(NamedTuple):
    """What of a batch belongs to erased people.

    `places`: the indices of their events in the batch; `parked`: stored facts that had waited for these
    events.
    """

    places: frozenset[int]
    parked: frozenset[FactKey]


async def late_for_the_erased(
    session: Session, batch: Sequence[Received], known: Mapping[FactKey, Record], *, secret: bytes
) -> Late:
    """The events of the batch that were received before their customer was erased.

    The facts that had waited for them are deleted, and their orders entered in the ledger. `known`: the
    stored records of the batch; `secret` names the orders.
    """
    people = {place: ref for place, received in enumerate(batch) if (ref := _customer(received.event))}
    orders = {place: ref for place, received in enumerate(batch) if (ref := _order(received.event, secret))}
    ledger = await LEDGER.of(session, {*people.values(), *orders.values()})
    if not ledger:
        return Late(frozenset(), frozenset())
    places, parked, erased_orders = set[int](), set[FactKey](), dict[Ref, datetime]()
    for place, ref in people.items():
        event = batch[place].event
        if ref in ledger and received_at(event) <= ledger[ref]:
            places.add(place)
            if isinstance(event, OrderPlaced):
                erased_orders[orders[place]] = ledger[ref]
                parked.add(FactKey(event.store, Kind.ORDER, event.order_id))
    if erased_orders:
        await LEDGER.enter(session, erased_orders)
    parked = {key for key in parked if key in known and known[key].ref is None}
    await remove_facts(session, parked)
    for place, ref in orders.items():
        event = batch[place].event
        if isinstance(event, OrderDelivered | OrderRefunded) and ref in (
            ledger.keys() | erased_orders.keys()
        ):
            stored = FactKey(event.store, Kind.ORDER, event.order_id) in known.keys() - parked
            placed_anew = any(orders.get(other) == ref for other in people.keys() - places)
            if not stored and not placed_anew:
                places.add(place)
    return Late(frozenset(places), frozenset(parked))


def without_erased_customer(received: Received, before: Record) -> Received:
    """An event of an erased person's case without its customer, so that the case keeps this service's
    surrogate."""
    event = received.event
    if isinstance(event, CaseOpened | CaseClosed) and (
        is_erased(before.ref) or is_erased(event.customer_ref)
    ):
        return received._replace(event=event.model_copy(update={"customer_ref": None}))
    return received


def named_at(after: Record, received: Received) -> datetime | None:
    """When the customer of a record was named by this event; None when another event named the customer."""
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
        case ResponseSubmitted() if ref := event.respondent:
            return event.store, ref
        case OrderPlaced(customer=customer) | EngagementRecorded(customer=customer):
            return event.store, customer.ref
        case CaseOpened(customer_ref=ref) | CaseClosed(customer_ref=ref) if ref:
            return event.store, ref
    return None


def _order(event: Event, secret: bytes) -> Ref | None:
    if isinstance(event, OrderPlaced | OrderDelivered | OrderRefunded):
        return event.store, order_ref(secret, event.store, event.order_id)
    return None
