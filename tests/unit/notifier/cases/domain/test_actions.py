"""The states of a case: every action in every state, and what the clocks do."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.cases.domain.actions import (
    Assign,
    Close,
    Command,
    Contact,
    Dismiss,
    Note,
    Reopen,
    Resolve,
    Snooze,
    Unexplained,
    Wake,
)
from services.notifier.cases.domain.case import ALLOWED, Action, Case, Illegal, Outcome, Status
from tests.unit.notifier.cases.domain.open_case import CASE, NOW

COMMANDS: dict[Action, Command] = {
    Action.ASSIGN: Assign("kim"),
    Action.CONTACT: Contact(),
    Action.NOTE: Note("n"),
    Action.RESOLVE: Resolve("cause"),
    Action.CLOSE: Close("cause", Outcome.RECOVERED),
    Action.REOPEN: Reopen(),
    Action.DISMISS: Dismiss("spam"),
}


def act(action: Action, case: Case, now: datetime) -> Case:
    """The case after this action; a snooze is for an hour."""
    command = Snooze(now + timedelta(hours=1)) if action is Action.SNOOZE else COMMANDS[action]
    return command.apply(case, now).case


LEADS_TO = {
    Action.CONTACT: Status.CONTACTED,
    Action.SNOOZE: Status.SNOOZED,
    Action.RESOLVE: Status.RESOLVED,
    Action.CLOSE: Status.CLOSED,
    Action.REOPEN: Status.REOPENED,
    Action.DISMISS: Status.DISMISSED,
}


def in_state(status: Status) -> Case:
    if status is Status.SNOOZED:
        return Snooze(NOW + timedelta(days=1)).apply(CASE, NOW).case
    return replace(CASE, status=status)


class TestEveryActionInEveryState:
    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("action", Action)
    def test_is_done_or_refused_with_what_is_allowed(self, action: Action, status: Status) -> None:
        case = in_state(status)
        if status in ALLOWED[action]:
            after = act(action, case, NOW)
            assert after.version == case.version + 1
            if action in LEADS_TO:
                assert after.status is LEADS_TO[action]
        else:
            with pytest.raises(Illegal) as refused:
                act(action, case, NOW)
            assert action not in refused.value.allowed
            assert Action.NOTE in refused.value.allowed

    def test_the_usual_way(self) -> None:
        case = CASE
        for action in (Action.ASSIGN, Action.CONTACT, Action.RESOLVE, Action.CLOSE):
            case = act(action, case, NOW)
        assert case.status is Status.CLOSED

    @given(st.lists(st.tuples(st.sampled_from(Action), st.integers(0, 300)), max_size=15))
    def test_whatever_people_do_the_case_stays_sound(self, steps: list[tuple[Action, int]]) -> None:
        case, now, first = CASE, NOW, None
        for action, minutes in steps:
            now += timedelta(minutes=minutes)
            try:
                case = act(action, case, now)
            except Illegal:
                continue
            first = first or case.first_contact_at
            assert case.first_contact_at == first
            assert case.first_contact_due_at == CASE.first_contact_due_at
            assert (case.status is Status.SNOOZED) == (case.snoozed_until is not None)
            if case.status is Status.CLOSED:
                assert case.root_cause
                assert case.outcome
            assert case.live == (case.closed_at is None)


class TestClocks:
    def test_a_late_first_contact_stays_a_miss(self) -> None:
        case = Contact().apply(CASE, NOW + timedelta(hours=25)).case
        assert case.first_contact_missed(NOW)
        assert Contact().apply(case, NOW + timedelta(hours=26)).case.first_contact_at == case.first_contact_at

    def test_a_breach_is_at_the_due_time_and_not_before(self) -> None:
        assert not CASE.first_contact_missed(NOW + timedelta(hours=24))
        assert CASE.first_contact_missed(NOW + timedelta(hours=24, microseconds=1))

    def test_a_snooze_moves_the_resolution_only(self) -> None:
        snoozed = Snooze(NOW + timedelta(hours=9)).apply(CASE, NOW).case
        awake = Wake().apply(snoozed, NOW + timedelta(hours=10)).case
        assert awake.status is Status.OPEN
        assert awake.resolve_due_at == CASE.resolve_due_at + timedelta(hours=10)
        assert awake.first_contact_due_at == CASE.first_contact_due_at

    def test_reopening_starts_the_resolution_anew(self) -> None:
        closed = act(Action.CLOSE, CASE, NOW + timedelta(hours=1))
        again = Reopen().apply(closed, NOW + timedelta(hours=100)).case
        assert again.resolve_due_at == NOW + timedelta(hours=172)
        assert (again.root_cause, again.outcome, again.reopened) == (None, None, 1)


class TestClosing:
    @pytest.mark.parametrize(
        ("cause", "outcome", "missing"),
        [
            (None, None, ("root_cause", "outcome")),
            ("x", None, ("outcome",)),
            (None, Outcome.CHURNED, ("root_cause",)),
            ("", Outcome.CHURNED, ("root_cause",)),
        ],
    )
    def test_needs_both(self, cause: str | None, outcome: Outcome | None, missing: tuple[str, ...]) -> None:
        with pytest.raises(Unexplained) as refused:
            Close(cause, outcome).apply(CASE, NOW)
        assert refused.value.missing == missing

    def test_takes_what_was_said_when_it_was_resolved(self) -> None:
        resolved = Resolve("courier", Outcome.RECOVERED).apply(CASE, NOW).case
        assert Close().apply(resolved, NOW).case.root_cause == "courier"
