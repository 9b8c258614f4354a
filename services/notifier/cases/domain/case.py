"""A case: one unhappy customer in front of a person, with two clocks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from services.notifier.cases.domain.clocks import Clock, ClockKind

# The states of a case, and what may be done in which.


class Status(StrEnum):
    OPEN = "open"
    ASSIGNED = "assigned"
    CONTACTED = "contacted"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    CLOSED = "closed"
    DISMISSED = "dismissed"


class Outcome(StrEnum):
    """How a case ended for the customer."""

    RECOVERED = "recovered"
    UNRESOLVED = "unresolved"
    CHURNED = "churned"
    NO_RESPONSE = "no_response"
    NOT_ACTIONABLE = "not_actionable"


class Action(StrEnum):
    ASSIGN = "assign"
    CONTACT = "contact"
    NOTE = "note"
    SNOOZE = "snooze"
    RESOLVE = "resolve"
    CLOSE = "close"
    REOPEN = "reopen"
    DISMISS = "dismiss"


ENDED: Final = frozenset({Status.CLOSED, Status.DISMISSED})

LIVE: Final = frozenset(Status) - ENDED
"""A customer has at most one case in one of these: see the unique index `cases_one_live`."""

_WORKED: Final = LIVE - {Status.RESOLVED}

ALLOWED: Final[dict[Action, frozenset[Status]]] = {
    Action.ASSIGN: _WORKED,
    Action.CONTACT: _WORKED,
    Action.NOTE: frozenset(Status),
    Action.SNOOZE: _WORKED - {Status.SNOOZED},
    Action.RESOLVE: _WORKED,
    Action.CLOSE: LIVE,
    Action.REOPEN: frozenset({Status.RESOLVED, Status.CLOSED, Status.DISMISSED}),
    Action.DISMISS: _WORKED,
}


def allowed(status: Status) -> tuple[Action, ...]:
    """What may be done with a case in this state."""
    return tuple(action for action, states in ALLOWED.items() if status in states)


class Refusal(Exception):
    """A case is not changed. What clients and people are told of each kind stands in `cases/refusals.py`."""


class Illegal(Refusal):
    """The state does not allow this; `allowed` is what it does."""

    def __init__(self, action: Action, status: Status) -> None:
        super().__init__(f"{action} is not possible for a case that is {status}")
        self.action = action
        self.status = status
        self.allowed = allowed(status)


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
    number: int = 0
    """Shown to people; the database counts, so a case that was not stored yet has none."""
    team: str | None = None
    clock: ClockKind = ClockKind.ELAPSED
    first_contact_hours: float | None = None
    clock_from: datetime | None = None
    """When the low score reached us: both clocks started here."""
    resolve_from: datetime | None = None
    """Where the clock of the resolution starts; every pause moves it, and reopening sets it anew."""
    first_contact_seconds: float | None = None
    resolve_seconds: float | None = None
    """Counted by the case's own clock, pauses left out."""
    last_group: str | None = None
    """promoter, passive or detractor: of the customer's latest known answer."""
    score: int | None = None
    metric: str | None = None
    wants_contact: bool = False
    auto_assigned: bool = False
    """The product chose the owner."""
    escalated: int = 0
    steps: frozenset[str] = frozenset()
    """Escalation steps that were taken."""
    next_step_at: datetime | None = None
    told_at: datetime | None = None
    """When the customer was told what was done about the root cause."""
    changed_at: datetime | None = None
    """Read only: the database's clock at the last change."""

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def untouched(self) -> bool:
        """Nobody has done anything about it."""
        waits = self.status is Status.OPEN and self.owner is None
        handed_out = self.status is Status.ASSIGNED and self.auto_assigned
        return (waits or handed_out) and self.first_contact_at is None

    @property
    def due_at(self) -> datetime | None:
        """The deadline that runs out first, by which lists of cases are sorted; None when none runs.

        The generated column `due_at` repeats this rule, since an index reads it; a test holds both together.
        """
        if not self.live or self.status is Status.RESOLVED:
            return None
        if self.status is Status.SNOOZED:
            return self.first_contact_due_at if self.first_contact_at is None else None
        if self.first_contact_at is None:
            return min(self.first_contact_due_at, self.resolve_due_at)
        return self.resolve_due_at

    def first_contact_missed(self, now: datetime) -> bool:
        if self.first_contact_at is not None:
            return self.first_contact_at > self.first_contact_due_at
        return self.live and now > self.first_contact_due_at

    def resolve_missed(self, now: datetime) -> bool:
        ended_at = self.resolved_at or self.closed_at
        if ended_at is not None:
            return ended_at > self.resolve_due_at
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


class CaseEvent(StrEnum):
    """Which event tells the other services."""

    OPENED = "opened"
    REOPENED = "reopened"
    CHANGED = "changed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Change:
    """A case after something happened to it, and all that is to be written with it."""

    case: Case
    event: CaseEvent
    entries: tuple[Entry, ...]
    alert: Alert | None = None
    part: Part | None = None
    """The answer is new to the case."""
    releases_alert: bool = False
    """The alert of the answer waits for its comment no longer."""
    cancels_alerts: bool = False
    retracts: bool = False
    moves: bool = False
    """The answer belonged to another case before."""
    step: str | None = None
    """The escalation step that was taken."""


def moved(case: Case, **fields: Any) -> Case:
    """The case after one more change."""
    return replace(case, version=case.version + 1, **fields)


def awake(case: Case, now: datetime, clock: Clock) -> Case:
    """The case without its snooze; the clock of the resolution was paused meanwhile."""
    if case.status is not Status.SNOOZED or case.snoozed_at is None or case.before_snooze is None:
        return case
    paused = clock.worked(case.snoozed_at, now)
    return replace(
        case,
        status=case.before_snooze,
        resolve_due_at=clock.due(case.resolve_due_at, paused),
        resolve_from=clock.due(case.resolve_from or case.opened_at, paused),
        snoozed_at=None,
        snoozed_until=None,
        before_snooze=None,
    )


def begun_again(case: Case, since: datetime, clock: Clock) -> Case:
    """Live again, with a new clock for the resolution. What is known of the first contact stays."""
    return replace(
        case,
        status=Status.REOPENED,
        resolve_due_at=clock.due(since, timedelta(hours=case.resolve_hours)),
        resolve_from=since,
        resolve_seconds=None,
        resolved_at=None,
        closed_at=None,
        root_cause=None,
        outcome=None,
        dismissed_because=None,
        told_at=None,
        reopened=case.reopened + 1,
    )


class Priority(StrEnum):
    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return _RANKS[self]

    def outranks(self, other: Priority) -> bool:
        return self.rank < other.rank


_RANKS: Final = {priority: rank for rank, priority in enumerate(Priority)}


# Names that come out the same whenever the log is read again.


def id_of(at: datetime, *parts: str) -> str:
    """A UUIDv7 of that moment whose random bits are a hash of the parts.

    After a restore the log is applied again: what was told under an id is then told under the same one.
    """
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:10])
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    value = (
        milliseconds << 80 | 0x7 << 76 | (digest >> 62 & 0xFFF) << 64 | 0b10 << 62 | digest & (1 << 62) - 1
    )
    return str(UUID(int=value))
