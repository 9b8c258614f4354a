"""Cases as clients see them, and how each shape is made from what was read."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from services.notifier.cases.casework import CaseDetails, CaseLine
from services.notifier.cases.domain.answers import Answer, vouched
from services.notifier.cases.domain.case import Case, Outcome, Part, Priority, Status, allowed
from services.notifier.cases.domain.clocks import ClockKind
from services.notifier.cases.store.customers import Customer
from services.notifier.cases.store.writing import HistoryRow
from services.notifier.deliveries.api import DeliveryOut, delivery_out


class ClockOut(BaseModel):
    """A deadline. Once missed it stays missed."""

    due_at: datetime
    at: datetime | None = Field(description="When it was done; null while it is not")
    missed: bool
    seconds: float | None = Field(description="How long it took by the case's own clock, without pauses")


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
    verified: bool = Field(description="False: the customer of this answer was only claimed, by a browser")
    order_id: str | None
    order_value: str | None
    currency: str | None
    segments: dict[str, str]


class CustomerOut(BaseModel):
    """`id`, `email` and `name` of the last verified answer, if any; tier and tags as they are now."""

    ref: str
    id: str | None
    email: str | None
    name: str | None
    tier: str | None
    tags: tuple[str, ...]
    risk: str | None = Field(description="The band of churn risk")
    action: str | None = Field(description="What the loyalty programme recommends to do")
    reasons: tuple[str, ...]


class HistoryOut(BaseModel):
    at: datetime
    who: str = Field(description="`user:…`, `key:…` or `system`")
    what: str
    detail: dict[str, Any]
    version: int | None = Field(None, description="The case's after it; null when it did not change")


class CaseOut(BaseModel):
    id: str
    number: int = Field(description="What people call it")
    store: str
    status: Status
    priority: Priority
    rule: str = Field(description="The alert rule that decided priority and clocks")
    config_version: str
    verified: bool = Field(description="False: the customer was only claimed, by a browser")
    tier: str | None = Field(description="The customer's tier when the case opened")
    owner: str | None
    team: str | None
    customer: CustomerOut
    answer: AnswerOut | None = Field(description="The one that opened it, as it is now")
    answers: int = Field(description="How many answers it has, without retracted ones")
    score: int | None = Field(description="Of the answer that last opened, joined or reopened it")
    metric: str | None
    last_group: str | None = Field(description="promoter, passive or detractor: the customer's last answer")
    wants_contact: bool = Field(description="The customer asked to be called")
    opened_at: datetime
    closed_at: datetime | None
    changed_at: datetime | None = Field(description="Of the last change, the opening at first")
    clock: ClockKind = Field(description="elapsed: around the clock; business: the store's hours")
    first_contact: ClockOut
    resolve: ClockOut
    escalated: int = Field(description="How many escalation steps were taken")
    next_step_at: datetime | None
    told_at: datetime | None = Field(description="When the customer was told what was done")
    snoozed_until: datetime | None
    root_cause: str | None
    outcome: Outcome | None
    dismissed_because: str | None
    reopened: int = Field(description="How often it was opened again")
    version: int = Field(description="Send it as If-Match, so that nobody's change is overwritten")
    allowed: tuple[str, ...] = Field(description="What may be done with it now")


class PastOut(BaseModel):
    """An answer of the customer, whether it belongs to a case or not."""

    response_id: str
    metric: str
    scale: str
    score: int
    group: str
    answered_at: datetime


class EarlierOut(BaseModel):
    id: str
    number: int
    status: Status
    opened_at: datetime
    closed_at: datetime | None
    root_cause: str | None
    outcome: Outcome | None


class StepOut(BaseModel):
    """An escalation step that is to come, if nothing happens before."""

    name: str
    when: str
    at: datetime
    raise_to: Priority | None
    to_lead: bool


class CaseDetailOut(CaseOut):
    all_answers: list[AnswerOut]
    history: list[HistoryOut]
    deliveries: list[DeliveryOut]
    watchers: list[str]
    past_answers: list[PastOut] = Field(description="What the customer answered, the newest first")
    earlier_cases: list[EarlierOut] = Field(description="The customer's other cases, the newest first")
    steps_ahead: list[StepOut]
    replies: dict[str, str] = Field(description="The store's templates by name, filled in")


class BulkResultOut(BaseModel):
    """What became of one case; `problem` as it would have been alone."""

    id: str
    ok: bool
    state: Status | None
    version: int | None
    problem: dict[str, Any] | None = None


class BulkOut(BaseModel):
    """In the order of the request."""

    results: list[BulkResultOut]


class CasesOut(BaseModel):
    """A page; the next one is in the header `Link`, rel=next."""

    cases: list[CaseOut]


# What was read, as clients see it.


def line_out(line: CaseLine) -> CaseOut:
    out = [answer_out(answer, part) for answer, part in line.answers]
    people = [answer for answer, _ in line.answers]
    return case_out(line.case, out, people, line.customer, datetime.now(UTC))


def lines_out(lines: Iterable[CaseLine]) -> list[CaseOut]:
    return [line_out(line) for line in lines]


def detail_out(details: CaseDetails) -> CaseDetailOut:
    """A case with everything about it."""
    return CaseDetailOut(
        **line_out(details).model_dump(),
        all_answers=[answer_out(answer, part) for answer, part in details.answers],
        history=[history_out(row) for row in details.history],
        deliveries=[delivery_out(delivery) for delivery in details.deliveries],
        watchers=list(details.watchers),
        past_answers=[
            PastOut(
                response_id=past.response_id,
                metric=past.metric,
                scale=past.scale,
                score=past.score,
                group=past.group.name.lower(),
                answered_at=past.answered_at,
            )
            for past in details.past
        ],
        earlier_cases=[
            EarlierOut(
                id=case.case_id,
                number=case.number,
                status=case.status,
                opened_at=case.opened_at,
                closed_at=case.closed_at,
                root_cause=case.root_cause,
                outcome=case.outcome,
            )
            for case in details.earlier
        ],
        steps_ahead=[
            StepOut(name=step.name, when=step.when, at=at, raise_to=step.raise_to, to_lead=step.to_lead)
            for at, step in details.ahead
        ],
        replies=dict(details.replies),
    )


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
        verified=body.verified,
        order_id=body.order_id,
        order_value=str(body.order_value) if body.order_value is not None else None,
        currency=body.currency,
        segments=dict(body.segments),
    )


def case_out(
    case: Case, answers: list[AnswerOut], people: list[Answer], customer: Customer, now: datetime
) -> CaseOut:
    """`answers` and `people`: the case's answers in their order, the one that opened it among them."""
    named = vouched(people)
    person = named.body.person if named else None
    return CaseOut(
        id=case.case_id,
        number=case.number,
        store=case.store,
        status=case.status,
        priority=case.priority,
        rule=case.rule,
        config_version=case.config_version,
        verified=case.verified,
        tier=case.tier,
        owner=case.owner,
        team=case.team,
        customer=CustomerOut(
            ref=case.customer_ref,
            id=person.id if person else None,
            email=person.email if person else None,
            name=person.name if person else None,
            tier=customer.tier,
            tags=customer.tags,
            risk=customer.risk,
            action=customer.action,
            reasons=customer.reasons,
        ),
        answer=next((answer for answer in answers if answer.response_id == case.response_id), None),
        answers=len(case.standing),
        score=case.score,
        metric=case.metric,
        last_group=case.last_group,
        wants_contact=case.wants_contact,
        opened_at=case.opened_at,
        closed_at=case.closed_at,
        # The two are told by two clocks, and cases of older releases have the start of their transaction.
        changed_at=max(case.changed_at, case.opened_at) if case.changed_at else None,
        clock=case.clock,
        first_contact=ClockOut(
            due_at=case.first_contact_due_at,
            at=case.first_contact_at,
            missed=case.first_contact_missed(now),
            seconds=case.first_contact_seconds,
        ),
        resolve=ClockOut(
            due_at=case.resolve_due_at,
            at=case.resolved_at or case.closed_at,
            missed=case.resolve_missed(now),
            seconds=case.resolve_seconds,
        ),
        escalated=case.escalated,
        next_step_at=case.next_step_at,
        told_at=case.told_at,
        snoozed_until=case.snoozed_until,
        root_cause=case.root_cause,
        outcome=case.outcome,
        dismissed_because=case.dismissed_because,
        reopened=case.reopened,
        version=case.version,
        allowed=allowed(case.status),
    )


def history_out(row: HistoryRow) -> HistoryOut:
    return HistoryOut(
        at=row.at, who=row.who, what=row.entry.what, detail=dict(row.entry.detail), version=row.version
    )
