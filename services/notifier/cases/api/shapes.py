"""What clients see."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from services.notifier.api.delivery_shapes import DeliveryOut
from services.notifier.cases.domain.case import Part
from services.notifier.cases.domain.clocks import ClockKind
from services.notifier.cases.domain.rules import Priority
from services.notifier.domain.states import Outcome, Status


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
    changed_at: datetime | None
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
