"""What clients see."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from services.notifier.domain import Answer, Case, Outcome, Part, Priority, Status, allowed
from services.notifier.store.cases import HistoryRow
from services.notifier.store.customers import Customer
from services.notifier.store.deliveries import Delivery, State


class ClockOut(BaseModel):
    """A deadline. Once missed it stays missed."""

    due_at: datetime
    at: datetime | None = Field(description="When it was done; null while it is not")
    missed: bool


class AnswerOut(BaseModel):
    response_id: str
    part: Part = Field(description="Whether it opened the case, joined it, or opened it again")
    metric: str
    scale: str
    score: int
    comment: str | None
    touchpoint: str | None
    channel: str
    answered_at: datetime
    received_at: datetime
    retracted: bool
    order_id: str | None
    order_value: str | None
    currency: str | None
    segments: dict[str, str]


class CustomerOut(BaseModel):
    """`id`, `email` and `name` as the last answer told them; tier and tags as they are now."""

    ref: str
    id: str | None
    email: str | None
    name: str | None
    tier: str | None
    tags: tuple[str, ...]


class HistoryOut(BaseModel):
    at: datetime
    who: str = Field(description="`key:…` or `system`")
    what: str
    detail: dict[str, Any]


class DeliveryOut(BaseModel):
    """An alert to one channel. `reply`: the first 256 printable characters of the last answer."""

    id: str = Field(description="The same over every attempt; a webhook's `webhook-id`")
    case_id: str
    reason: str
    channel: str
    response_id: str
    state: State
    attempt: int
    created_at: datetime
    next_at: datetime | None = Field(description="The next attempt, at the earliest")
    settled_at: datetime | None
    status: int | None
    milliseconds: int | None
    reply: str | None
    error: str | None


class CaseOut(BaseModel):
    id: str
    store: str
    status: Status
    priority: Priority
    rule: str = Field(description="The alert rule that decided priority and clocks")
    config_version: str
    verified: bool = Field(description="False: the customer was only claimed, by a browser")
    tier: str | None = Field(description="The customer's tier when the case opened")
    owner: str | None
    customer: CustomerOut
    answer: AnswerOut | None = Field(description="The one that opened it, as it is now")
    answers: int = Field(description="How many answers it has, without retracted ones")
    opened_at: datetime
    closed_at: datetime | None
    first_contact: ClockOut
    resolve: ClockOut
    snoozed_until: datetime | None
    root_cause: str | None
    outcome: Outcome | None
    dismissed_because: str | None
    reopened: int = Field(description="How often it was opened again")
    version: int = Field(description="Send it as If-Match, so that nobody's change is overwritten")
    allowed: tuple[str, ...] = Field(description="What may be done with it now")


class CaseDetailOut(CaseOut):
    all_answers: list[AnswerOut]
    history: list[HistoryOut]
    deliveries: list[DeliveryOut]


class CasesOut(BaseModel):
    """A page; the next one is in the header `Link`, rel=next."""

    cases: list[CaseOut]


class DeliveriesOut(BaseModel):
    """A page, the newest first; the next one is in the header `Link`, rel=next."""

    deliveries: list[DeliveryOut]


def answer_out(answer: Answer, part: Part) -> AnswerOut:
    body = answer.body
    return AnswerOut(
        response_id=answer.response_id,
        part=part,
        metric=body.metric,
        scale=body.scale,
        score=answer.score,
        comment=answer.comment,
        touchpoint=body.touchpoint,
        channel=body.channel,
        answered_at=body.answered_at,
        received_at=body.received_at,
        retracted=answer.retracted,
        order_id=body.order_id,
        order_value=str(body.order_value) if body.order_value is not None else None,
        currency=body.currency,
        segments=dict(body.segments),
    )


def case_out(
    case: Case, answers: list[AnswerOut], people: list[Answer], known: Customer, now: datetime
) -> CaseOut:
    """`answers` and `people`: the case's answers in their order, the one that opened it among them."""
    person = people[-1].body.person if people else None
    return CaseOut(
        id=case.case_id,
        store=case.store,
        status=case.status,
        priority=case.priority,
        rule=case.rule,
        config_version=case.config_version,
        verified=case.verified,
        tier=case.tier,
        owner=case.owner,
        customer=CustomerOut(
            ref=case.customer_ref,
            id=person.id if person else None,
            email=person.email if person else None,
            name=person.name if person else None,
            tier=known.tier,
            tags=known.tags,
        ),
        answer=next((answer for answer in answers if answer.response_id == case.response_id), None),
        answers=len(case.standing),
        opened_at=case.opened_at,
        closed_at=case.closed_at,
        first_contact=ClockOut(
            due_at=case.first_contact_due_at,
            at=case.first_contact_at,
            missed=case.first_contact_missed(now),
        ),
        resolve=ClockOut(
            due_at=case.resolve_due_at,
            at=case.resolved_at or case.closed_at,
            missed=case.resolve_missed(now),
        ),
        snoozed_until=case.snoozed_until,
        root_cause=case.root_cause,
        outcome=case.outcome,
        dismissed_because=case.dismissed_because,
        reopened=case.reopened,
        version=case.version,
        allowed=allowed(case.status),
    )


def history_out(row: HistoryRow) -> HistoryOut:
    return HistoryOut(at=row.at, who=row.who, what=row.entry.what, detail=dict(row.entry.detail))


def delivery_out(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut(
        id=delivery.delivery_id,
        case_id=delivery.case_id,
        reason=delivery.reason,
        channel=delivery.channel,
        response_id=delivery.response_id,
        state=delivery.state,
        attempt=delivery.attempt,
        created_at=delivery.created_at,
        next_at=delivery.next_at if delivery.state is State.PENDING else None,
        settled_at=delivery.settled_at,
        status=delivery.last_status,
        milliseconds=delivery.last_milliseconds,
        reply=delivery.last_reply,
        error=delivery.last_error,
    )
