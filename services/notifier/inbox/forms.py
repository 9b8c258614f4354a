"""What a form of the case page asks to be done, read and checked."""

from __future__ import annotations

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
from shared.pages.forms import Form

LONGEST_NOTE = 4000
LONGEST_WORD = 128


@dataclass(frozen=True, slots=True)
class Wish:
    """What the form asks for; `said`: the sentence for when it was done."""

    command: Command
    said: str


@dataclass(frozen=True, slots=True)
class Asker:
    """Who fills in the form, and for which store."""

    person: Person
    names: MemberNames
    zone: ZoneInfo


Reader = Callable[[Form, Asker], Wish]
"""Notes in the form what is wrong with it; what it returns then counts for nothing."""


def _note(form: Form, asker: Asker) -> Wish:
    text = form.text("text", longest=LONGEST_NOTE, needed="Write the note.")
    return Wish(Note(text), "Note added.")


def _contact(form: Form, asker: Asker) -> Wish:
    how = form.text("how", needed="Choose how.")
    if how and how not in CONTACT_LABELS:
        form.refuse("how", "Choose one of the list.")
    said = form.text("text", longest=LONGEST_NOTE)
    return Wish(Contact(said or None, how), "Contact logged.")


def _snooze(form: Form, asker: Asker) -> Wish:
    until = moment_of(form, "until", asker.zone)
    return Wish(Snooze(until), f"Snoozed to {until.astimezone(asker.zone):%a %d %b, %H:%M}.")


def _wake(form: Form, asker: Asker) -> Wish:
    return Wish(Wake(), "Awake again; the clock of the resolution runs on.")


def _resolve(form: Form, asker: Asker) -> Wish:
    cause, outcome, done = _ending(form)
    return Wish(Resolve(cause, outcome, done), "Resolved. A new low answer reopens the case.")


def _close(form: Form, asker: Asker) -> Wish:
    cause, outcome, done = _ending(form)
    return Wish(Close(cause, outcome, done), "Closed. A new low answer reopens the case.")


def _ending(form: Form) -> tuple[str, Outcome, str]:
    cause = form.text("root_cause", longest=LONGEST_WORD)
    other = form.text("other_cause", longest=LONGEST_WORD)
    if not (other or cause):
        form.refuse("root_cause", "Choose a root cause before you resolve the case.")
    outcome = form.text("outcome")
    if outcome not in OUTCOME_LABELS:
        form.refuse("outcome", "Choose how it ended.")
        outcome = Outcome.UNRESOLVED
    return other or cause, Outcome(outcome), form.text("text", longest=LONGEST_NOTE)


def _dismiss(form: Form, asker: Asker) -> Wish:
    return Wish(dismissal(form).command, "Dismissed. Alerts that wait are not sent.")


def dismissal(form: Form) -> Wish:
    """With its reason."""
    other = form.text("other_reason", longest=LONGEST_WORD)
    reason = other or form.text("reason", longest=LONGEST_WORD, needed="Say why it should not be a case.")
    return Wish(Dismiss(reason), f"Dismissed: {reason}.")


def _reopen(form: Form, asker: Asker) -> Wish:
    return Wish(Reopen(), "Open again, with a new clock for the resolution.")


def _take(form: Form, asker: Asker) -> Wish:
    return Wish(Assign(asker.person.email), "It is yours.")


def assignment(form: Form, asker: Asker) -> Wish:
    """To a member of the store, or to whom the team's load says."""
    owner = form.text("owner", longest=254, needed="Choose who.")
    if owner == AssignMode.LEAST_LOADED:
        return Wish(AssignInTeam(AssignMode.LEAST_LOADED), "Assigned to the least loaded of the team.")
    if owner and owner not in asker.names:
        form.refuse("owner", "Choose somebody of this store.")
    return Wish(Assign(owner), f"Assigned to {asker.names.of(owner)}.")


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
"""By the last part of the address."""


def moment_of(form: Form, name: str, zone: ZoneInfo) -> datetime:
    """A wall time of the store, as `datetime-local` sends it. Notes an error for what is none."""
    text = form.text(name, longest=40, needed="Choose until when.")
    moment = _moment(text)
    if moment is None:
        form.refuse(name, "A day and a time, such as 2026-11-27T09:00.")
        return datetime(2000, 1, 1, tzinfo=zone)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _moment(text: str) -> datetime | None:
    """None too for a year that no time zone can be applied to."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if 1970 < moment.year < 9000 else None
