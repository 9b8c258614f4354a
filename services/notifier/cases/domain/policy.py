"""What a store has decided about its cases, in the words of the domain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.notifier.cases.domain.case import Alert, Case, CaseEvent, Change, Entry, Priority, Status, moved
from services.notifier.cases.domain.clocks import ELAPSED, BusinessHours, Clock, ClockKind
from services.notifier.cases.domain.rules import Rule, Team

# What happens to a case that waits for too long: each step at most once.

_UNASSIGNED = (Status.OPEN, Status.REOPENED)


class When(StrEnum):
    FIRST_CONTACT_OVERDUE = "first_contact_overdue"
    RESOLVE_OVERDUE = "resolve_overdue"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class Step:
    """`after_hours` by the case's own clock, after the breach or since the clocks started.

    No priorities: a case of any. `channels` of None: every channel of the store; empty: nobody is told.
    """

    name: str
    when: When
    after_hours: float = 0
    priorities: frozenset[Priority] = frozenset()
    raise_to: Priority | None = None
    to_lead: bool = False
    channels: tuple[str, ...] | None = None


def step_at(case: Case, step: Step, clock: Clock) -> datetime | None:
    """When this step is due; None when nothing would bring it about as the case stands."""
    if not case.live or case.status is Status.RESOLVED or step.name in case.steps:
        return None
    if step.priorities and case.priority not in step.priorities:
        return None
    after = timedelta(hours=step.after_hours)
    if step.when is When.FIRST_CONTACT_OVERDUE:
        return None if case.first_contact_at else clock.due(case.first_contact_due_at, after)
    if step.when is When.RESOLVE_OVERDUE:
        return None if case.status is Status.SNOOZED else clock.due(case.resolve_due_at, after)
    return clock.due(case.clock_from or case.opened_at, after)


def planned(case: Case, steps: Iterable[Step], clock: Clock) -> list[tuple[datetime, Step]]:
    """The steps ahead, the next one first; of equally near ones the one that is declared first."""
    due = [(step_at(case, step, clock), step) for step in steps]
    return sorted(((at, step) for at, step in due if at is not None), key=lambda item: item[0])


def with_next_step(case: Case, steps: Sequence[Step], clock: Clock) -> Case:
    """The case, knowing when to look at it again."""
    ahead = planned(case, steps, clock) if steps else []
    at = ahead[0][0] if ahead else None
    return case if at == case.next_step_at else replace(case, next_step_at=at)


def escalate(
    case: Case, steps: Sequence[Step], *, lead: str | None, clock: Clock, now: datetime
) -> list[Change]:
    """Every step that is due, one after the other: what one of them raises, the next one sees."""
    changes: list[Change] = []
    while ahead := [step for at, step in planned(case, steps, clock) if at <= now]:
        change = _taken(case, ahead[0], lead, now)
        changes.append(change)
        case = change.case
    return changes


def _taken(case: Case, step: Step, lead: str | None, now: datetime) -> Change:
    detail: dict[str, Any] = {"step": step.name, "level": case.escalated + 1}
    after = replace(case, steps=case.steps | {step.name}, escalated=case.escalated + 1)
    if step.raise_to is not None and step.raise_to.outranks(case.priority):
        after = replace(after, priority=step.raise_to)
        detail["priority"] = step.raise_to
    if step.to_lead and lead is not None and lead != case.owner:
        after = replace(after, owner=lead, auto_assigned=case.untouched)
        if case.status in _UNASSIGNED:
            after = replace(after, status=Status.ASSIGNED)
        elif case.status is Status.SNOOZED and case.before_snooze in _UNASSIGNED:
            after = replace(after, before_snooze=Status.ASSIGNED)
        detail["owner"] = lead
    alert = None
    if step.channels is None or step.channels:
        alert = Alert(f"escalated:{step.name}", case.response_id, now, now, step.channels)
    entry = Entry("escalated", detail)
    return Change(moved(after), CaseEvent.CHANGED, (entry,), alert, step=step.name)


# What a store's people write to customers.

PLACEHOLDER: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Reply:
    """A template of what to write to a customer, with `{{ name }}` and other placeholders."""

    name: str
    text: str

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with the values in it; a placeholder without a value leaves nothing."""
        return PLACEHOLDER.sub(lambda match: values.get(match[1], ""), self.text)


@dataclass(frozen=True, slots=True)
class Policy:
    """All that a store has decided about its cases.

    `hours` of None: the store has no business hours, so its business clock runs around the clock.
    """

    rules: tuple[Rule, ...] = ()
    steps: tuple[Step, ...] = ()
    teams: dict[str, Team] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    """Those that are on."""
    reopens_within: timedelta = timedelta(days=30)
    hours: BusinessHours | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    store_name: str = ""
    """As people know the store."""
    root_causes: tuple[str, ...] = ()
    """Offered when a case is resolved."""
    replies: tuple[Reply, ...] = ()
    tiers: tuple[str, ...] = ()
    """Of its customers, the lowest first."""

    def clock(self, kind: ClockKind) -> Clock:
        return self.hours if kind is ClockKind.BUSINESS and self.hours else ELAPSED

    def lead(self, team: str | None) -> str | None:
        known_team = self.teams.get(team or "")
        return known_team.lead if known_team else None

    @property
    def compares(self) -> bool:
        """Whether any rule asks for the answer before."""
        return any(rule.when.fell_by is not None for rule in self.rules)


NO_POLICY = Policy()
"""Of a store that is not configured any more."""
