"""The forms of the case page, each read and checked into the action that it asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from services.notifier.cases.domain.actions import (
    Assign,
    AssignInTeam,
    Close,
    Command,
    Contact,
    Dismiss,
    Note,
    Reopen,
    Resolve,
    Snooze,
    Wake,
)
from services.notifier.cases.domain.case import Outcome
from services.notifier.cases.domain.rules import AssignMode
from services.notifier.cases.wording import CONTACT_LABELS, OUTCOME_LABELS, MemberNames
from shared.access import Person
from shared.feedback.moments import parse_moment
from shared.pages.forms import Form

_WALL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,3})?)?")
"""A local date and time as HTML defines it."""

LONGEST_NOTE = 4000
LONGEST_WORD = 128


@dataclass(frozen=True, slots=True)
class RequestedAction:
    """The command that a form asks for; `done_text`: the sentence for when it was done."""

    command: Command
    done_text: str


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who fills in a form, with the names and the zone of the store."""

    person: Person
    names: MemberNames
    zone: ZoneInfo


Reader = Callable[[Form, Actor], RequestedAction]
"""Notes in the form what is wrong with it; when something is, nobody uses the action that it returns."""


def _note(form: Form, actor: Actor) -> RequestedAction:
    text = form.text("text", longest=LONGEST_NOTE, needed="Write the note.")
    return RequestedAction(Note(text), "Note added.")


def _contact(form: Form, actor: Actor) -> RequestedAction:
    how = form.text("how", needed="Choose how.")
    if how and how not in CONTACT_LABELS:
        form.refuse("how", "Choose one of the list.")
    text = form.text("text", longest=LONGEST_NOTE)
    return RequestedAction(Contact(text or None, how), "Contact logged.")


def _snooze(form: Form, actor: Actor) -> RequestedAction:
    until = moment_of(form, "until", actor.zone)
    return RequestedAction(Snooze(until), f"Snoozed to {until.astimezone(actor.zone):%a %d %b, %H:%M}.")


def _wake(form: Form, actor: Actor) -> RequestedAction:
    return RequestedAction(Wake(), "Awake again; the clock of the resolution runs on.")


def _resolve(form: Form, actor: Actor) -> RequestedAction:
    cause, outcome, note = _ending(form)
    return RequestedAction(Resolve(cause, outcome, note), "Resolved. A new low answer reopens the case.")


def _close(form: Form, actor: Actor) -> RequestedAction:
    cause, outcome, note = _ending(form)
    return RequestedAction(Close(cause, outcome, note), "Closed. A new low answer reopens the case.")


def _ending(form: Form) -> tuple[str, Outcome, str]:
    """The root cause, the outcome and the note of a form that ends a case."""
    cause = form.text("root_cause", longest=LONGEST_WORD)
    other = form.text("other_cause", longest=LONGEST_WORD)
    if not (other or cause):
        form.refuse("root_cause", "Choose a root cause before you resolve the case.")
    outcome = form.text("outcome")
    if outcome not in OUTCOME_LABELS:
        form.refuse("outcome", "Choose how it ended.")
        outcome = Outcome.UNRESOLVED
    return other or cause, Outcome(outcome), form.text("text", longest=LONGEST_NOTE)


def _dismiss(form: Form, actor: Actor) -> RequestedAction:
    return RequestedAction(dismissal(form).command, "Dismissed. Alerts that wait are not sent.")


def dismissal(form: Form) -> RequestedAction:
    """A dismissal, for the reason that was chosen or written."""
    other = form.text("other_reason", longest=LONGEST_WORD)
    reason = other or form.text("reason", longest=LONGEST_WORD, needed="Say why it should not be a case.")
    return RequestedAction(Dismiss(reason), f"Dismissed: {reason}.")


def _reopen(form: Form, actor: Actor) -> RequestedAction:
    return RequestedAction(Reopen(), "Open again, with a new clock for the resolution.")


def _take(form: Form, actor: Actor) -> RequestedAction:
    return RequestedAction(Assign(actor.person.email), "It is yours.")


def assignment(form: Form, actor: Actor) -> RequestedAction:
    """An assignment to a member of the store, or to the least loaded person of the team."""
    owner = form.text("owner", longest=254, needed="Choose who.")
    if owner == AssignMode.LEAST_LOADED:
        return RequestedAction(
            AssignInTeam(AssignMode.LEAST_LOADED), "Assigned to the least loaded of the team."
        )
    if owner and owner not in actor.names:
        form.refuse("owner", "Choose somebody of this store.")
    return RequestedAction(Assign(owner), f"Assigned to {actor.names.of(owner)}.")


READERS: Mapping[str, Reader] = {
    "note": _note,
    "contact": _contact,
    "snooze": _snooze,
    "wake": _wake,
    "resolve": _resolve,
    "close": _close,
    "dismiss": _dismiss,
    "reopen": _reopen,
    "take": _take,
    "assign": assignment,
}
"""The readers of the forms, by the last part of the address that each is sent to."""


def moment_of(form: Form, name: str, zone: ZoneInfo) -> datetime:
    """A wall time of the store, as `datetime-local` sends it, or a time of RFC 3339.

    Notes an error for what is neither.
    """
    text = form.text(name, longest=40, needed="Choose until when.")
    moment = _moment(text)
    if moment is None:
        form.refuse(name, "A day and a time, such as 2026-11-27T09:00.")
        return datetime(2000, 1, 1, tzinfo=zone)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _moment(text: str) -> datetime | None:
    """None too for a year that no time zone can be applied to."""
    try:
        moment = datetime.fromisoformat(text) if _WALL_TIME.fullmatch(text) else parse_moment(text)
    except ValueError:
        return None
    return moment if 1970 < moment.year < 9000 else None
