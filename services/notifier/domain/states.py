"""The states of a case, and what may be done in which."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


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


LIVE: Final = frozenset(Status) - {Status.CLOSED, Status.DISMISSED}
"""A customer has at most one case in one of these."""

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


class Illegal(Exception):
    """The state does not allow this; `allowed` is what it does."""

    def __init__(self, action: Action, status: Status) -> None:
        super().__init__(f"{action} is not possible for a case that is {status}")
        self.action = action
        self.status = status
        self.allowed = allowed(status)
