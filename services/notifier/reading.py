"""What there is to show of cases, read with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.notifier.cases.domain.answers import Answer, vouched
from services.notifier.cases.domain.case import Case, Part
from services.notifier.cases.domain.policy import NO_POLICY
from services.notifier.cases.store import answers, customers
from services.notifier.cases.store import cases as store
from services.notifier.cases.store.customers import Customer
from services.notifier.deliveries import store as deliveries
from services.notifier.deliveries.store import Delivery
from services.notifier.domain.escalation import Step, planned
from services.notifier.domain.history import Past
from services.notifier.settings import Alerts
from services.notifier.store import past, trail
from services.notifier.store.trail import HistoryRow
from shared.db import Session


@dataclass(frozen=True, slots=True)
class Line:
    """A case as a list shows it; its answers in their order."""

    case: Case
    answers: Sequence[tuple[Answer, Part]]
    customer: Customer


@dataclass(frozen=True, slots=True)
class Shown(Line):
    """A case with everything about it."""

    history: Sequence[HistoryRow] = ()
    """The oldest first."""
    deliveries: Sequence[Delivery] = ()
    watchers: Sequence[str] = ()
    past: Sequence[Past] = ()
    """The customer's known answers, the newest first."""
    earlier: Sequence[Case] = ()
    """The customer's other cases, the newest first."""
    ahead: Sequence[tuple[datetime, Step]] = ()
    """Escalation steps that are still to come."""
    replies: Mapping[str, str] = field(default_factory=dict)
    """The store's templates by name, filled in for this case."""


async def lines(session: Session, cases: Sequence[Case]) -> list[Line]:
    """Each case with all of its answers that can be read."""
    if not cases:
        return []
    parts = await store.parts(session, [case.case_id for case in cases])
    keys = {(case.store, response_id) for case in cases for response_id, _ in parts.get(case.case_id, [])}
    told = await answers.read(session, keys)
    known = await customers.known(session, {(case.store, case.customer_ref) for case in cases})
    return [
        Line(
            case,
            [
                (told[case.store, response_id], part)
                for response_id, part in parts.get(case.case_id, [])
                if (case.store, response_id) in told
            ],
            known.get((case.store, case.customer_ref), Customer()),
        )
        for case in cases
    ]


async def shown(session: Session, case: Case, alerts: Alerts | None) -> Shown:
    """A case with everything about it; `alerts` is its store's section, if the store has one still."""
    [line] = await lines(session, [case])
    ref = (case.store, case.customer_ref)
    policy = alerts.policy if alerts else NO_POLICY
    replies = alerts.replies if alerts else ()
    values = _values(line, alerts.store_name if alerts else "")
    return Shown(
        case,
        line.answers,
        line.customer,
        history=await trail.history(session, case.case_id),
        deliveries=await deliveries.of_case(session, case.case_id),
        watchers=(await trail.watchers(session, [case.case_id])).get(case.case_id, []),
        past=(await past.of_customers(session, [ref])).get(ref, []),
        earlier=await store.of_customer(session, ref, but=case.case_id),
        ahead=planned(case, policy.steps, policy.clock(case.clock)),
        replies={reply.name: reply.filled(values) for reply in replies},
    )


def _values(line: Line, store_name: str) -> dict[str, str]:
    """What the templates of replies may name."""
    last = line.answers[-1][0] if line.answers else None
    named = vouched([answer for answer, _ in line.answers])
    return {
        "name": (named and named.body.person.name) or "",
        "store": store_name,
        "case": str(line.case.number),
        "order": (last and last.body.order_id) or "",
        "comment": (last and last.comment) or "",
        "owner": line.case.owner or "",
    }
