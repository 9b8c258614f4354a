"""Unhappy customers in front of a person. Key: store, case."""

from datetime import datetime
from typing import ClassVar

from shared.events import topics
from shared.events.model import Event


class _Case(Event):
    topic: ClassVar = topics.CASES

    case_id: str
    at: datetime
    customer_ref: str | None = None
    status: str = "open"
    priority: str = "normal"
    rule: str = ""

    def subject(self) -> tuple[str, ...]:
        return (self.case_id,)


class CaseOpened(_Case):
    """Also sent when a closed case opens again."""

    type: ClassVar = "case.opened.v1"

    response_id: str
    reopened: bool = False


class CaseChanged(_Case):
    type: ClassVar = "case.changed.v1"

    change: str = ""


class CaseClosed(_Case):
    type: ClassVar = "case.closed.v1"

    root_cause: str | None = None
    outcome: str | None = None
