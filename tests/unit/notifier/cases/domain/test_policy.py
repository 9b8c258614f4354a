"""Whose turn it is in a team, and what happens to a case that waits too long."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.notifier.cases.domain.actions import Contact, Dismiss, Resolve, Snooze
from services.notifier.cases.domain.case import Case, Priority, Status
from services.notifier.cases.domain.clocks import ELAPSED
from services.notifier.cases.domain.policy import Step, When, escalate, planned, with_next_step
from services.notifier.cases.domain.rules import AssignMode, Team, next_owner
from tests.unit.notifier.cases.domain import open_case
from tests.unit.notifier.cases.domain.open_case import NOW

TEAM = Team("care", ("ann", "bob", "cem"))
CASE = replace(
    open_case.CASE,
    first_contact_due_at=NOW + timedelta(hours=4),
    resolve_due_at=NOW + timedelta(hours=24),
    resolve_hours=24,
    clock_from=NOW,
    resolve_from=NOW,
)


def after(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


class TestTurns:
    def test_go_round(self) -> None:
        owners = [next_owner(TEAM, AssignMode.ROUND_ROBIN, turn, {}) for turn in range(5)]
        assert owners == ["ann", "bob", "cem", "ann", "bob"]

    @pytest.mark.parametrize(
        ("turn", "load", "expected"),
        [
            (0, {"ann": 3, "bob": 1, "cem": 2}, "bob"),
            (0, {"ann": 1}, "bob"),
            (2, {"ann": 1}, "cem"),
            (0, {}, "ann"),
        ],
    )
    def test_go_to_whoever_has_least_and_among_those_go_round(
        self, turn: int, load: dict[str, int], expected: str
    ) -> None:
        assert next_owner(TEAM, AssignMode.LEAST_LOADED, turn, load) == expected

    def test_need_somebody(self) -> None:
        assert next_owner(Team("empty"), AssignMode.ROUND_ROBIN, 0, {}) is None


class TestSteps:
    @pytest.mark.parametrize(
        ("step", "due"),
        [
            (Step("s", When.FIRST_CONTACT_OVERDUE), 4),
            (Step("s", When.FIRST_CONTACT_OVERDUE, 2), 6),
            (Step("s", When.RESOLVE_OVERDUE, 1), 25),
            (Step("s", When.AGE, 48), 48),
        ],
    )
    def test_are_due_by_the_clock_of_the_case(self, step: Step, due: float) -> None:
        assert planned(CASE, [step], ELAPSED) == [(after(due), step)]
        assert with_next_step(CASE, [step], ELAPSED).next_step_at == after(due)

    @pytest.mark.parametrize(
        ("case", "step"),
        [
            (Contact().apply(CASE, after(1)).case, Step("s", When.FIRST_CONTACT_OVERDUE)),
            (Snooze(after(9)).apply(CASE, NOW).case, Step("s", When.RESOLVE_OVERDUE)),
            (Resolve("x").apply(CASE, after(1)).case, Step("s", When.AGE)),
            (Dismiss("x").apply(CASE, after(1)).case, Step("s", When.AGE)),
            (replace(CASE, steps=frozenset({"s"})), Step("s", When.AGE)),
            (CASE, Step("s", When.AGE, priorities=frozenset({Priority.URGENT}))),
        ],
        ids=["contacted", "snoozed", "resolved", "dismissed", "taken", "another priority"],
    )
    def test_are_not_due_when_there_is_nothing_to_press_for(self, case: Case, step: Step) -> None:
        assert planned(case, [step], ELAPSED) == []
        assert with_next_step(replace(case, next_step_at=NOW), [step], ELAPSED).next_step_at is None

    def test_of_a_snoozed_case_that_nobody_called_are_due(self) -> None:
        snoozed = Snooze(after(30)).apply(CASE, NOW).case
        assert planned(snoozed, [Step("s", When.FIRST_CONTACT_OVERDUE)], ELAPSED)

    def test_raise_assign_and_tell(self) -> None:
        step = Step(
            "lead", When.FIRST_CONTACT_OVERDUE, raise_to=Priority.URGENT, to_lead=True, channels=("care",)
        )
        [change] = escalate(CASE, [step], lead="lea", clock=ELAPSED, now=after(4))
        case = change.case
        assert (case.priority, case.owner, case.status) == (Priority.URGENT, "lea", Status.ASSIGNED)
        assert (case.escalated, case.version) == (1, 2)
        assert case.untouched, "nobody has done anything about it yet"
        assert change.alert is not None
        assert (change.alert.reason, change.alert.channels) == ("escalated:lead", ("care",))
        assert change.entries[0].detail["owner"] == "lea"

    def test_never_lower_a_priority_and_tell_nobody_when_so_said(self) -> None:
        urgent = replace(CASE, priority=Priority.URGENT)
        step = Step("s", When.AGE, raise_to=Priority.HIGH, to_lead=True, channels=())
        [change] = escalate(urgent, [step], lead=None, clock=ELAPSED, now=after(1))
        assert (change.case.priority, change.case.owner) == (Priority.URGENT, None)
        assert change.alert is None

    def test_bring_each_other_about_and_each_happens_once(self) -> None:
        steps = (
            Step("b", When.AGE, 1, priorities=frozenset({Priority.URGENT})),
            Step("a", When.AGE, 2, raise_to=Priority.URGENT),
        )
        changes = escalate(CASE, steps, lead=None, clock=ELAPSED, now=after(3))
        assert [change.step for change in changes] == ["a", "b"]
        assert escalate(changes[-1].case, steps, lead=None, clock=ELAPSED, now=after(99)) == []

    def test_are_not_taken_before_their_time(self) -> None:
        assert escalate(CASE, [Step("s", When.AGE, 2)], lead=None, clock=ELAPSED, now=after(1.99)) == []
