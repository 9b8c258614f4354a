"""A case: one unhappy customer in front of a person, with two clocks. What people do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from services.notifier.domain.rules import Priority
from services.notifier.domain.states import ALLOWED, LIVE, Action, Illegal, Outcome, Status


@dataclass(frozen=True, slots=True)
class Case:
    """`version` counts the changes. `standing`: its answers that were not retracted."""

    case_id: str
    store: str
    customer_ref: str
    response_id: str
    """The answer that opened it."""
    status: Status
    priority: Priority
    rule: str
    config_version: str
    verified: bool
    opened_at: datetime
    first_contact_due_at: datetime
    resolve_due_at: datetime
    resolve_hours: float
    tier: str | None = None
    """The customer's, when the case opened."""
    owner: str | None = None
    first_contact_at: datetime | None = None
    """Written once: a late first contact stays a miss."""
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    snoozed_at: datetime | None = None
    snoozed_until: datetime | None = None
    before_snooze: Status | None = None
    root_cause: str | None = None
    outcome: Outcome | None = None
    dismissed_because: str | None = None
    reopened: int = 0
    version: int = 1
    standing: frozenset[str] = frozenset()

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def untouched(self) -> bool:
        """Nobody has done anything about it."""
        return self.status is Status.OPEN and self.owner is None and self.first_contact_at is None

    def first_contact_missed(self, now: datetime) -> bool:
        if self.first_contact_at is not None:
            return self.first_contact_at > self.first_contact_due_at
        return self.live and now > self.first_contact_due_at

    def resolve_missed(self, now: datetime) -> bool:
        done = self.resolved_at or self.closed_at
        if done is not None:
            return done > self.resolve_due_at
        return self.live and self.status is not Status.SNOOZED and now > self.resolve_due_at


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the case's history. Who and when are added where it is written."""

    what: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """One delivery for each channel. `channels` of None: all of the store's."""

    reason: str
    response_id: str
    received_at: datetime
    not_before: datetime
    channels: tuple[str, ...] | None


class Part(StrEnum):
    """What an answer did to its case."""

    OPENED = "opened"
    JOINED = "joined"
    REOPENED = "reopened"


class Fact(StrEnum):
    """Which event tells the other services."""

    OPENED = "opened"
    REOPENED = "reopened"
    CHANGED = "changed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Change:
    """A case after something happened to it, and all that is to be written with it."""

    case: Case
    fact: Fact
    entries: tuple[Entry, ...]
    alert: Alert | None = None
    part: Part | None = None
    """The answer is new to the case."""
    releases_alert: bool = False
    """The alert of the answer waits for its comment no longer."""
    cancels_alerts: bool = False
    retracts: bool = False


def require(case: Case, action: Action) -> None:
    """Raises Illegal."""
    if case.status not in ALLOWED[action]:
        raise Illegal(action, case.status)


def moved(case: Case, **fields: Any) -> Case:
    """The case after one more change."""
    return replace(case, version=case.version + 1, **fields)


def awake(case: Case, now: datetime) -> Case:
    """The case without its snooze; the clock of the resolution was paused meanwhile."""
    if case.status is not Status.SNOOZED or case.snoozed_at is None or case.before_snooze is None:
        return case
    return replace(
        case,
        status=case.before_snooze,
        resolve_due_at=case.resolve_due_at + max(now - case.snoozed_at, timedelta()),
        snoozed_at=None,
        snoozed_until=None,
        before_snooze=None,
    )


def wake(case: Case, now: datetime) -> Change:
    """The snooze is over."""
    case = awake(case, now)
    return Change(moved(case), Fact.CHANGED, (Entry("woken"),))


def assign(case: Case, owner: str) -> Change:
    require(case, Action.ASSIGN)
    entry = Entry("assigned", {"owner": owner})
    if case.status is Status.SNOOZED:
        return Change(moved(case, owner=owner), Fact.CHANGED, (entry,))
    status = case.status if case.status is Status.CONTACTED else Status.ASSIGNED
    return Change(moved(case, owner=owner, status=status), Fact.CHANGED, (entry,))


def contact(case: Case, now: datetime, note: str | None = None) -> Change:
    """Somebody spoke with the customer. Only the first time stops the clock of the first contact."""
    require(case, Action.CONTACT)
    first = case.first_contact_at or now
    case = replace(awake(case, now), status=Status.CONTACTED, first_contact_at=first)
    return Change(moved(case), Fact.CHANGED, (Entry("contacted", _said(note)),))


def note(case: Case, text: str) -> Change:
    require(case, Action.NOTE)
    return Change(moved(case), Fact.CHANGED, (Entry("noted", _said(text)),))


def snooze(case: Case, until: datetime, now: datetime) -> Change:
    """Pauses the clock of the resolution, never that of the first contact."""
    require(case, Action.SNOOZE)
    entry = Entry("snoozed", {"until": until.isoformat()})
    snoozed = moved(
        case, status=Status.SNOOZED, before_snooze=case.status, snoozed_at=now, snoozed_until=until
    )
    return Change(snoozed, Fact.CHANGED, (entry,))


def resolve(case: Case, now: datetime, root_cause: str, outcome: Outcome | None = None) -> Change:
    require(case, Action.RESOLVE)
    case = replace(awake(case, now), status=Status.RESOLVED, resolved_at=now, root_cause=root_cause)
    case = replace(case, outcome=outcome or case.outcome)
    return Change(moved(case), Fact.CHANGED, (Entry("resolved", _ended(case)),))


class Unexplained(ValueError):
    """A case cannot close without a root cause and an outcome; `missing` names what it lacks."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__(f"closing needs {' and '.join(missing)}")
        self.missing = missing


def close(case: Case, now: datetime, root_cause: str | None = None, outcome: Outcome | None = None) -> Change:
    """Raises Illegal, or Unexplained: what was not said when it was resolved must be said now."""
    require(case, Action.CLOSE)
    root_cause, outcome = root_cause or case.root_cause, outcome or case.outcome
    missing = [name for name, value in (("root_cause", root_cause), ("outcome", outcome)) if not value]
    if missing:
        raise Unexplained(tuple(missing))
    case = replace(awake(case, now), status=Status.CLOSED, closed_at=now)
    case = replace(case, root_cause=root_cause, outcome=outcome, resolved_at=case.resolved_at or now)
    return Change(moved(case), Fact.CLOSED, (Entry("closed", _ended(case)),))


def reopen(case: Case, now: datetime) -> Change:
    """A person takes it up again: the clock of the resolution starts anew."""
    require(case, Action.REOPEN)
    return Change(moved(begun_again(case, now)), Fact.REOPENED, (Entry("reopened"),))


def dismiss(case: Case, now: datetime, reason: str) -> Change:
    """It should not have been a case: spam, a test, a duplicate. Alerts that wait are not sent."""
    require(case, Action.DISMISS)
    case = replace(awake(case, now), status=Status.DISMISSED, closed_at=now, dismissed_because=reason)
    entry = Entry("dismissed", {"reason": reason})
    return Change(moved(case), Fact.CLOSED, (entry,), cancels_alerts=True)


def begun_again(case: Case, since: datetime) -> Case:
    """Live again, with a new clock for the resolution. What is known of the first contact stays."""
    return replace(
        case,
        status=Status.REOPENED,
        resolve_due_at=since + timedelta(hours=case.resolve_hours),
        resolved_at=None,
        closed_at=None,
        root_cause=None,
        outcome=None,
        dismissed_because=None,
        reopened=case.reopened + 1,
    )


def _said(text: str | None) -> dict[str, Any]:
    return {"note": text} if text else {}


def _ended(case: Case) -> dict[str, Any]:
    return {"root_cause": case.root_cause, "outcome": case.outcome}
