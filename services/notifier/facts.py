"""What the other services are told of a case."""

from datetime import datetime

from services.notifier.cases.domain.case import Change, Fact
from shared.events import Event
from shared.events.cases import CaseChanged, CaseClosed, CaseOpened


def fact_of(change: Change, response_id: str, at: datetime) -> Event:
    """The event of a change; `response_id` is the answer behind it, for a case that opened."""
    case = change.case
    if change.fact is Fact.CHANGED:
        return CaseChanged(
            store=case.store,
            case_id=case.case_id,
            at=at,
            customer_ref=case.customer_ref,
            status=case.status,
            priority=case.priority,
            rule=case.rule,
            change=change.entries[0].what,
        )
    if change.fact is Fact.CLOSED:
        return CaseClosed(
            store=case.store,
            case_id=case.case_id,
            at=at,
            customer_ref=case.customer_ref,
            status=case.status,
            priority=case.priority,
            rule=case.rule,
            root_cause=case.root_cause,
            outcome=case.outcome,
        )
    return CaseOpened(
        store=case.store,
        case_id=case.case_id,
        at=at,
        customer_ref=case.customer_ref,
        status=case.status,
        priority=case.priority,
        rule=case.rule,
        response_id=response_id,
        reopened=change.fact is Fact.REOPENED,
    )
