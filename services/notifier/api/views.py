"""Read what a page shows of cases, with a fixed number of queries."""

from collections.abc import Sequence
from datetime import UTC, datetime

from services.notifier.api.shapes import (
    AnswerOut,
    CaseDetailOut,
    CaseOut,
    answer_out,
    case_out,
    delivery_out,
    history_out,
)
from services.notifier.domain import Case
from services.notifier.store import answers, cases, customers, deliveries
from services.notifier.store.customers import Customer
from shared.db import Session


async def _read(session: Session, shown: Sequence[Case]) -> list[tuple[CaseOut, list[AnswerOut]]]:
    """Each case with all of its answers."""
    if not shown:
        return []
    parts = await cases.parts(session, [case.case_id for case in shown])
    keys = {(case.store, response_id) for case in shown for response_id, _ in parts.get(case.case_id, [])}
    told = await answers.read(session, keys)
    known = await customers.known(session, {(case.store, case.customer_ref) for case in shown})
    now = datetime.now(UTC)
    result = []
    for case in shown:
        own = [
            (told[case.store, response_id], part)
            for response_id, part in parts.get(case.case_id, [])
            if (case.store, response_id) in told
        ]
        out = [answer_out(answer, part) for answer, part in own]
        customer = known.get((case.store, case.customer_ref), Customer())
        result.append((case_out(case, out, [answer for answer, _ in own], customer, now), out))
    return result


async def shown_cases(session: Session, shown: Sequence[Case]) -> list[CaseOut]:
    return [case for case, _ in await _read(session, shown)]


async def shown_case(session: Session, case: Case) -> CaseDetailOut:
    """A case with everything about it."""
    [(out, all_answers)] = await _read(session, [case])
    rows = await cases.history(session, case.case_id)
    sent = await deliveries.of_case(session, case.case_id)
    return CaseDetailOut(
        **out.model_dump(),
        all_answers=all_answers,
        history=[history_out(row) for row in rows],
        deliveries=[delivery_out(delivery) for delivery in sent],
    )
