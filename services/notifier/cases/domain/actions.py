"""What people do with a case. `clock` is the case's own; by default it runs around the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.notifier.cases.domain.case import (
    ALLOWED,
    Action,
    Case,
    Change,
    Entry,
    Fact,
    Illegal,
    Outcome,
    Status,
    awake,
    begun_again,
    moved,
)
from services.notifier.cases.domain.clocks import ELAPSED, Clock

LONGEST_SNOOZE: Final = timedelta(days=90)


class Unfit(ValueError):
    """Something that was said does not fit; `field` is what, `why` is a sentence."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class Unexplained(ValueError):
    """A case cannot close without a root cause and an outcome; `missing` names what it lacks."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__(f"closing needs {' and '.join(missing)}")
        self.missing = missing


def require(case: Case, action: Action) -> None:
    """Raises Illegal."""
    if case.status not in ALLOWED[action]:
        raise Illegal(action, case.status)


def wake(case: Case, now: datetime, *, clock: Clock = ELAPSED) -> Change:
    """The snooze is over."""
    return Change(moved(awake(case, now, clock)), Fact.CHANGED, (Entry("woken"),))


def assign(case: Case, owner: str, *, how: str | None = None) -> Change:
    """`how` says in the history by what the owner was found, when nobody named one."""
    require(case, Action.ASSIGN)
    entry = Entry("assigned", {"owner": owner} | ({"how": how} if how else {}))
    case = replace(case, owner=owner, auto_assigned=False)
    if case.status is Status.SNOOZED and case.before_snooze is not Status.CONTACTED:
        case = replace(case, before_snooze=Status.ASSIGNED)
    elif case.status not in (Status.SNOOZED, Status.CONTACTED):
        case = replace(case, status=Status.ASSIGNED)
    return Change(moved(case), Fact.CHANGED, (entry,))


def handed_out(change: Change, owner: str, how: str) -> Change:
    """A case that just opened, or opened again without an owner, finds one in its team."""
    case = change.case
    status = Status.ASSIGNED if case.status is Status.OPEN else case.status
    case = replace(case, owner=owner, status=status, auto_assigned=True)
    entry = Entry("assigned", {"owner": owner, "how": how})
    return replace(change, case=case, entries=(*change.entries, entry))


def contact(case: Case, now: datetime, note: str | None = None, *, clock: Clock = ELAPSED) -> Change:
    """Somebody spoke with the customer. Only the first time stops the clock of the first contact."""
    require(case, Action.CONTACT)
    case = replace(awake(case, now, clock), status=Status.CONTACTED)
    if case.first_contact_at is None:
        took = clock.worked(case.clock_from or case.opened_at, now).total_seconds()
        case = replace(case, first_contact_at=now, first_contact_seconds=took)
    return Change(moved(case), Fact.CHANGED, (Entry("contacted", _said(note)),))


def note(case: Case, text: str) -> Change:
    require(case, Action.NOTE)
    return Change(moved(case), Fact.CHANGED, (Entry("noted", _said(text)),))


def snooze(case: Case, until: datetime, now: datetime) -> Change:
    """Pauses the clock of the resolution, never that of the first contact. Raises Illegal or Unfit."""
    require(case, Action.SNOOZE)
    if not now < until <= now + LONGEST_SNOOZE:
        raise Unfit("until", f"In the future, at most {LONGEST_SNOOZE.days} days.")
    entry = Entry("snoozed", {"until": until.isoformat()})
    snoozed = moved(
        case, status=Status.SNOOZED, before_snooze=case.status, snoozed_at=now, snoozed_until=until
    )
    return Change(snoozed, Fact.CHANGED, (entry,))


def resolve(
    case: Case, now: datetime, root_cause: str, outcome: Outcome | None = None, *, clock: Clock = ELAPSED
) -> Change:
    require(case, Action.RESOLVE)
    case = replace(_done(case, now, clock), status=Status.RESOLVED, root_cause=root_cause)
    case = replace(case, outcome=outcome or case.outcome)
    return Change(moved(case), Fact.CHANGED, (Entry("resolved", _ended(case)),))


def close(
    case: Case,
    now: datetime,
    root_cause: str | None = None,
    outcome: Outcome | None = None,
    *,
    clock: Clock = ELAPSED,
) -> Change:
    """Raises Illegal, or Unexplained: what was not said when it was resolved must be said now."""
    require(case, Action.CLOSE)
    root_cause, outcome = root_cause or case.root_cause, outcome or case.outcome
    missing = [name for name, value in (("root_cause", root_cause), ("outcome", outcome)) if not value]
    if missing:
        raise Unexplained(tuple(missing))
    case = replace(_done(case, now, clock), status=Status.CLOSED, closed_at=now)
    case = replace(case, root_cause=root_cause, outcome=outcome)
    return Change(moved(case), Fact.CLOSED, (Entry("closed", _ended(case)),))


def reopen(case: Case, now: datetime, *, clock: Clock = ELAPSED) -> Change:
    """A person takes it up again: the clock of the resolution starts anew."""
    require(case, Action.REOPEN)
    return Change(moved(begun_again(case, now, clock)), Fact.REOPENED, (Entry("reopened"),))


def dismiss(case: Case, now: datetime, reason: str, *, clock: Clock = ELAPSED) -> Change:
    """It should not have been a case: spam, a test, a duplicate. Alerts that wait are not sent."""
    require(case, Action.DISMISS)
    case = replace(awake(case, now, clock), status=Status.DISMISSED, closed_at=now, dismissed_because=reason)
    entry = Entry("dismissed", {"reason": reason})
    return Change(moved(case), Fact.CLOSED, (entry,), cancels_alerts=True)


def _done(case: Case, now: datetime, clock: Clock) -> Case:
    """The clock of the resolution stands still; a case that was resolved before keeps its time."""
    case = awake(case, now, clock)
    if case.resolved_at is not None:
        return case
    took = clock.worked(case.resolve_from or case.opened_at, now).total_seconds()
    return replace(case, resolved_at=now, resolve_seconds=took)


def _said(text: str | None) -> dict[str, Any]:
    return {"note": text} if text else {}


def _ended(case: Case) -> dict[str, Any]:
    return {"root_cause": case.root_cause, "outcome": case.outcome}


# Actions with all that they need said, to be done to one case or to many.

Do = Callable[[Case, datetime, Clock], Change]
"""Takes the case, now and the case's clock; raises Illegal, Unexplained or Unfit."""


def assigning(owner: str, how: str | None = None) -> Do:
    return lambda case, now, clock: assign(case, owner, how=how)


def contacting(note: str | None = None) -> Do:
    return lambda case, now, clock: contact(case, now, note, clock=clock)


def noting(text: str) -> Do:
    return lambda case, now, clock: note(case, text)


def snoozing(until: datetime) -> Do:
    return lambda case, now, clock: snooze(case, until, now)


def waking() -> Do:
    return lambda case, now, clock: wake(case, now, clock=clock)


def resolving(root_cause: str, outcome: Outcome | None = None) -> Do:
    return lambda case, now, clock: resolve(case, now, root_cause, outcome, clock=clock)


def closing(root_cause: str | None = None, outcome: Outcome | None = None) -> Do:
    return lambda case, now, clock: close(case, now, root_cause, outcome, clock=clock)


def reopening() -> Do:
    return lambda case, now, clock: reopen(case, now, clock=clock)


def dismissing(reason: str) -> Do:
    return lambda case, now, clock: dismiss(case, now, reason, clock=clock)
