"""What was read, as clients see it."""

from collections.abc import Iterable
from datetime import UTC, datetime

from services.notifier.api.delivery_shapes import delivery_out
from services.notifier.cases.api.shapes import (
    AnswerOut,
    CaseDetailOut,
    CaseOut,
    ClockOut,
    CustomerOut,
    EarlierOut,
    HistoryOut,
    PastOut,
    StepOut,
)
from services.notifier.cases.domain.answers import Answer, vouched
from services.notifier.cases.domain.case import Case, Part
from services.notifier.cases.store.customers import Customer
from services.notifier.domain.states import allowed
from services.notifier.reading import Line, Shown
from services.notifier.store.trail import HistoryRow


def line_out(line: Line) -> CaseOut:
    out = [answer_out(answer, part) for answer, part in line.answers]
    people = [answer for answer, _ in line.answers]
    return case_out(line.case, out, people, line.customer, datetime.now(UTC))


def lines_out(lines: Iterable[Line]) -> list[CaseOut]:
    return [line_out(line) for line in lines]


def detail_out(shown: Shown) -> CaseDetailOut:
    """A case with everything about it."""
    return CaseDetailOut(
        **line_out(shown).model_dump(),
        all_answers=[answer_out(answer, part) for answer, part in shown.answers],
        history=[history_out(row) for row in shown.history],
        deliveries=[delivery_out(delivery) for delivery in shown.deliveries],
        watchers=list(shown.watchers),
        past_answers=[
            PastOut(
                response_id=past.response_id,
                metric=past.metric,
                scale=past.scale,
                score=past.score,
                group=past.group.name.lower(),
                answered_at=past.answered_at,
            )
            for past in shown.past
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
            for case in shown.earlier
        ],
        steps_ahead=[
            StepOut(name=step.name, when=step.when, at=at, raise_to=step.raise_to, to_lead=step.to_lead)
            for at, step in shown.ahead
        ],
        replies=dict(shown.replies),
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
    case: Case, answers: list[AnswerOut], people: list[Answer], known: Customer, now: datetime
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
            tier=known.tier,
            tags=known.tags,
            risk=known.risk,
            action=known.action,
            reasons=known.reasons,
        ),
        answer=next((answer for answer in answers if answer.response_id == case.response_id), None),
        answers=len(case.standing),
        score=case.score,
        metric=case.metric,
        last_group=case.last_group,
        wants_contact=case.wants_contact,
        opened_at=case.opened_at,
        closed_at=case.closed_at,
        changed_at=case.changed_at,
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
