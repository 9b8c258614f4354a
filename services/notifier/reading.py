"""What there is to show of cases, read with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.notifier.domain import Answer, Case, Part, Past, Step
from services.notifier.settings import Alerts
from services.notifier.store.cases import HistoryRow
from services.notifier.store.customers import Customer
from services.notifier.store.deliveries import Delivery
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
    raise NotImplementedError


async def shown(session: Session, case: Case, alerts: Alerts | None, now: datetime) -> Shown:
    raise NotImplementedError
