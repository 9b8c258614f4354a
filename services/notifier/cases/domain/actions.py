"""What people do with a case: a command for each action, and what the command makes of the case.

The API, the pages, bulk actions and undo all send these. `clock` is the case's own; by default it runs around
the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.notifier.cases.domain.case import (
    ALLOWED,
    Action,
    Case,
    CaseEvent,
    Change,
    Entry,
    Illegal,
    Outcome,
    Refusal,
    Status,
    awake,
    begun_again,
    moved,
)
from services.notifier.cases.domain.clocks import ELAPSED, Clock
from services.notifier.cases.domain.rules import AssignMode

LONGEST_SNOOZE: Final = timedelta(days=90)


class Unfit(Refusal):
    """A value in the command does not fit; `field` names it, `why` is a sentence."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class Unexplained(Refusal):
    """A case cannot close without a root cause and an outcome; `missing` names what it lacks."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__(f"closing needs {' and '.join(missing)}")
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Assign:
    """Give the case an owner. `found_by` goes into the history when nobody named the owner."""

    owner: str
    found_by: AssignMode | None = None

    def apply(self, case: Case, now: datetime, clock: Clock = ELAPSED) -> Change:
        """Raises Illegal."""
        require(case, Action.ASSIGN)
        detail = {"owner": self.owner} | ({"how": self.found_by.value} if self.found_by else {})
        case = replace(case, owner=self.owner, auto_assigned=False)
        if case.status is Status.SNOOZED and case.before_snooze is not Status.CONTACTED:
            case = replace(case, before_snooze=Status.ASSIGNED)
        elif case.status not in (Status.SNOOZED, Status.CONTACTED):
            case = replace(case, status=Status.ASSIGNED)
        return Change(moved(case), CaseEvent.CHANGED, (Entry("assigned", detail),))


@dataclass(frozen=True, slots=True)
class AssignInTeam:
    """Give the case to a member of its team. Whose turn it is stands in the database: see `Casework`."""

    mode: AssignMode


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody spoke with the customer. Only the first time stops the clock of the first contact.

    `way`: by phone, by e-mail and so on; empty when it is not known.
    """

    note: str | None = None
    way: str = ""

    def apply(self, case: Case, now: datetime, clock: Clock = ELAPSED) -> Change:
        """Raises Illegal."""
        require(case, Action.CONTACT)
        case = replace(awake(case, now, clock), status=Status.CONTACTED)
        if case.first_contact_at is None:
            took = clock.worked(case.clock_from or case.opened_at, now).total_seconds()
            case = replace(case, first_contact_at=now, first_contact_seconds=took)
        entry = Entry("contacted", _given(note=self.note, how=self.way))
        return Change(moved(case), CaseEvent.CHANGED, (entry,))


@dataclass(frozen=True, slots=True)
class Note:
    """Write something into the history of the case."""

    text: str

    def apply(self, case: Case, now: datetime, clock: Clock = ELAPSED) -> Change:
        require(case, Action.NOTE)
        return Change(moved(case), CaseEvent.CHANGED, (Entry("noted", _given(note=self.text)),))


@dataclass(frozen=True, slots=True)
class Snooze:
    """Pause the clock of the resolution, never that of the first contact."""

    until: datetime

    def apply(self, case: Case, now: datetime, clock: Clock = ELAPSED) -> Change:
        """Raises Illegal, or Unfit for a moment that is past or too far ahead."""
        require(case, Action.SNOOZE)
        if not now < self.until <= now + LONGEST_SNOOZE:
            raise Unfit("until", f"In the future, at most {LONGEST_SNOOZE.days} days.")
        entry = Entry("snoozed", {"until": self.until.isoformat()})
        snoozed = moved(
            case,
            status=Status.SNOOZED,
            before_snooze=case.status,
            snoozed_at=now,
            snoozed_until=self.until,
        )
        return Change(snoozed, CaseEvent.CHANGED, (entry,))


@dataclass(frozen=True, slots=True)
class Wake:
    """End the snooze: the clock of the resolution runs on."""

    def apply(self, case: Case, now: datetime, clock: Clock = ELAPSED) -> Change:
        """Raises Unfit for a case that is not snoozed."""
        if case.status is not Status.SNOOZED:
            raise Unfit("until", "The case is not snoozed.")
        return Change(moved(awake(case, now, clock)), CaseEvent.CHANGED, (Entry("woken"),))


@dataclass(frozen=True, slots=True)
class Resolve:
    """What was wrong is put right. `note`: what was done."""

    root_cause: str
    outcome: Outcome | None = None
    note: str = ""

    def apply(self, case: Case, now: datetime, clock: Clock = ELAPSED) -> Change:
        """Raises Illegal."""
        require(case, Action.RESOLVE)
        case = replace(_ended(case, now, clock), status=Status.RESOLVED, root_cause=self.root_cause)
        case = replace(case, outcome=self.outcome or case.outcome)
        entry = Entry("resolved", _ending(case) | _given(note=self.note))
        return Change(moved(case), CaseEvent.CHANGED, (entry,))


@dataclass(frozen=True, slots=True)
class Close:
    """The case is done. What was not said when it was resolved must be said now. `note`: what was done."""

    root_cause: str | None = None
    outcome: Outcome | None = None
    note: str = ""

    def apply(self, case: Case, now: datetime, clock: Clock = ELAPSED) -> Change:
        """Raises Illegal, or Unexplained when root cause or outcome is missing."""
        require(case, Action.CLOSE)
        root_cause, outcome = self.root_cause or case.root_cause, self.outcome or case.outcome
        missing = [name for name, value in (("root_cause", root_cause), ("outcome", outcome)) if not value]
        if missing:
            raise Unexplained(tuple(missing))
        case = replace(_ended(case, now, clock), status=Status.CLOSED, closed_at=now)
        case = replace(case, root_cause=root_cause, outcome=outcome)
        entry = Entry("closed", _ending(case) | _given(note=self.note))
        return Change(moved(case), CaseEvent.CLOSED, (entry,))


@dataclass(frozen=True, slots=True)
class Reopen:
    """A person takes the case up again: the clock of the resolution starts anew."""

    def apply(self, case: Case, now: datetime, clock: Clock = ELAPSED) -> Change:
        """Raises Illegal."""
        require(case, Action.REOPEN)
        return Change(moved(begun_again(case, now, clock)), CaseEvent.REOPENED, (Entry("reopened"),))


@dataclass(frozen=True, slots=True)
class Dismiss:
    """It should not have been a case: spam, a test, a duplicate. Alerts that wait are not sent."""

    reason: str

    def apply(self, case: Case, now: datetime, clock: Clock = ELAPSED) -> Change:
        """Raises Illegal."""
        require(case, Action.DISMISS)
        case = replace(
            awake(case, now, clock),
            status=Status.DISMISSED,
            closed_at=now,
            dismissed_because=self.reason,
        )
        entry = Entry("dismissed", {"reason": self.reason})
        return Change(moved(case), CaseEvent.CLOSED, (entry,), cancels_alerts=True)


Command = Assign | AssignInTeam | Contact | Note | Snooze | Wake | Resolve | Close | Reopen | Dismiss
"""Each makes a new version of the case."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Let somebody follow the case, or follow it no more. It makes no new version of the case."""

    watcher: str
    watching: bool = True


def require(case: Case, action: Action) -> None:
    """Raises Illegal when the state of the case does not allow the action."""
    if case.status not in ALLOWED[action]:
        raise Illegal(action, case.status)


def assigned_at_opening(change: Change, owner: str, how: str) -> Change:
    """A case that just opened, or opened again without an owner, finds one in its team."""
    case = change.case
    status = Status.ASSIGNED if case.status is Status.OPEN else case.status
    case = replace(case, owner=owner, status=status, auto_assigned=True)
    entry = Entry("assigned", {"owner": owner, "how": how})
    return replace(change, case=case, entries=(*change.entries, entry))


def _ended(case: Case, now: datetime, clock: Clock) -> Case:
    """The clock of the resolution stands still; a case that was resolved before keeps its time."""
    case = awake(case, now, clock)
    if case.resolved_at is not None:
        return case
    took = clock.worked(case.resolve_from or case.opened_at, now).total_seconds()
    return replace(case, resolved_at=now, resolve_seconds=took)


def _ending(case: Case) -> dict[str, Any]:
    return {"root_cause": case.root_cause, "outcome": case.outcome}


def _given(**detail: str | None) -> dict[str, Any]:
    """The details of a history entry without those that are empty."""
    return {name: value for name, value in detail.items() if value}
