"""What was read, as clients see it."""

from collections.abc import Iterable
from datetime import UTC, datetime

from services.notifier.api.delivery_shapes import delivery_out
from services.notifier.api.shapes import (
    CaseDetailOut,
    CaseOut,
    EarlierOut,
    PastOut,
    StepOut,
    answer_out,
    case_out,
    history_out,
)
from services.notifier.reading import Line, Shown


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
