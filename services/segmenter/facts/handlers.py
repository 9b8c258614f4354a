"""What each event does to the record of the fact that it is about, and whom it names.

Which event comes to which function, says the table in `services/segmenter/handlers.py`. Each function takes
the record before the event, the event and the id of its envelope, and returns the record after it and how the
event ended. They raise NotApplicable.
"""

from datetime import UTC, datetime
from decimal import Decimal

from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.domain.records import (
    AnswerRecord,
    CaseRecord,
    Delivered,
    Engaged,
    EngagementRecord,
    OrderRecord,
    Outcome,
    Placed,
    Record,
    Refunded,
    Submitted,
)
from shared.events import Received
from shared.events.cases import CaseClosed, CaseOpened
from shared.events.orders import EngagementRecorded, OrderDelivered, OrderPlaced, OrderRefunded
from shared.events.responses import Identity, ResponseAmended, ResponseRetracted, ResponseSubmitted

_LARGEST_AMOUNT = Decimal(10) ** 12
_FIRST_YEAR, _LAST_YEAR = 1900, 2200


class NotApplicable(ValueError):
    """An event with an absurd time or amount, which no producer of ours sends."""


def submitted(record: AnswerRecord, event: ResponseSubmitted, ce_id: str) -> tuple[Record, Outcome]:
    return record.submitted(
        Submitted(
            ce_id=ce_id,
            fingerprint=event.fingerprint,
            ref=event.respondent if event.identity is Identity.IDENTIFIED else None,
            metric=event.metric,
            scale=event.scale,
            score=event.score,
            at=utc(event.answered_at),
            touchpoint=event.touchpoint,
            test=event.test,
            verified=event.verified,
        )
    )


def amended(record: AnswerRecord, event: ResponseAmended, ce_id: str) -> tuple[Record, Outcome]:
    return record.amended(r for r in event.revisions(ce_id) if r.field == "score")


def retracted(record: AnswerRecord, _: ResponseRetracted, __: str) -> tuple[Record, Outcome]:
    return record.retract()


def placed(record: OrderRecord, event: OrderPlaced, ce_id: str) -> tuple[Record, Outcome]:
    at, value = utc(event.placed_at), _amount(event.value)
    return record.place(Placed(ce_id, event.customer.ref, at, value, event.currency))


def delivered(record: OrderRecord, event: OrderDelivered, ce_id: str) -> tuple[Record, Outcome]:
    return record.deliver(Delivered(ce_id, utc(event.delivered_at)))


def refunded(record: OrderRecord, event: OrderRefunded, ce_id: str) -> tuple[Record, Outcome]:
    at, amount = utc(event.refunded_at), _amount(event.amount)
    return record.refund(event.refund_id, Refunded(ce_id, at, amount, event.currency))


def engaged(record: EngagementRecord, event: EngagementRecorded, ce_id: str) -> tuple[Record, Outcome]:
    return record.record(Engaged(ce_id, event.customer.ref, event.kind, utc(event.engaged_at)))


def case_opened(record: CaseRecord, event: CaseOpened, _: str) -> tuple[Record, Outcome]:
    return record.open(event.customer_ref, utc(event.at))


def case_closed(record: CaseRecord, event: CaseClosed, _: str) -> tuple[Record, Outcome]:
    return record.close(event.customer_ref, utc(event.at))


def contact_in(received: Received) -> tuple[str | None, Contact]:
    """The reference of the customer whom the event names, and the contact that it gives.

    The contact is empty where only a browser claims who the customer is: that is not believed.
    """
    event = received.event
    match event:
        case CaseOpened() | CaseClosed():
            return event.customer_ref, Contact()
        case ResponseSubmitted(customer=customer) if customer and event.identity is Identity.IDENTIFIED:
            if not event.verified:
                return event.respondent, Contact()
        case OrderPlaced(customer=customer) | EngagementRecorded(customer=customer):
            pass
        case _:
            return None, Contact()
    return customer.ref, Contact.named(
        customer_id=customer.id,
        email=customer.email,
        name=customer.name,
        consent=customer.consent,
        at=utc(event.received_at),
        ce_id=received.envelope.id,
    )


def utc(at: datetime) -> datetime:
    """The moment in UTC. Raises NotApplicable for one without time zone, or outside of 1900 to 2200."""
    if at.tzinfo is None or not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise NotApplicable("a time without zone, or beyond reason")
    return at.astimezone(UTC)


def _amount(value: Decimal) -> Decimal:
    if not 0 <= value <= _LARGEST_AMOUNT:
        raise NotApplicable("an amount below zero or beyond reason")
    return value
