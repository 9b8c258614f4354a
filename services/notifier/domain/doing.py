"""Actions with all that they need said, to be done to one case or to many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from services.notifier.cases.domain import actions
from services.notifier.cases.domain.case import Case, Change
from services.notifier.cases.domain.clocks import Clock
from services.notifier.domain.states import Outcome

Do = Callable[[Case, datetime, Clock], Change]
"""Takes the case, now and the case's clock; raises Illegal, Unexplained or Unfit."""


def assigning(owner: str, how: str | None = None) -> Do:
    return lambda case, now, clock: actions.assign(case, owner, how=how)


def contacting(note: str | None = None) -> Do:
    return lambda case, now, clock: actions.contact(case, now, note, clock=clock)


def noting(text: str) -> Do:
    return lambda case, now, clock: actions.note(case, text)


def snoozing(until: datetime) -> Do:
    return lambda case, now, clock: actions.snooze(case, until, now)


def waking() -> Do:
    return lambda case, now, clock: actions.wake(case, now, clock=clock)


def resolving(root_cause: str, outcome: Outcome | None = None) -> Do:
    return lambda case, now, clock: actions.resolve(case, now, root_cause, outcome, clock=clock)


def closing(root_cause: str | None = None, outcome: Outcome | None = None) -> Do:
    return lambda case, now, clock: actions.close(case, now, root_cause, outcome, clock=clock)


def reopening() -> Do:
    return lambda case, now, clock: actions.reopen(case, now, clock=clock)


def dismissing(reason: str) -> Do:
    return lambda case, now, clock: actions.dismiss(case, now, reason, clock=clock)
