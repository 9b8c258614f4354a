"""Whatever people, answers and the clock do in whatever order: a case beside a plain model of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.notifier.cases.domain import actions
from services.notifier.cases.domain.answers import Answer, Person, Submitted, fold
from services.notifier.cases.domain.case import (
    ALLOWED,
    Action,
    Case,
    Change,
    Illegal,
    Outcome,
    Priority,
    Status,
)
from services.notifier.cases.domain.clocks import ELAPSED, BusinessHours, Clock, ClockKind
from services.notifier.cases.domain.policy import Step, When, escalate
from services.notifier.cases.domain.reactions import another_low_answer, new_case
from services.notifier.cases.domain.rules import Conditions, Rule

T0 = datetime(2026, 3, 27, 10, tzinfo=UTC)  # a Friday, two days before the clocks change
OFFICE = BusinessHours(ZoneInfo("Europe/Amsterdam"), (((540, 1080),),) * 5 + ((), ()))
STEPS = (
    Step("lead_told", When.FIRST_CONTACT_OVERDUE, to_lead=True),
    Step("late", When.RESOLVE_OVERDUE, 2, raise_to=Priority.URGENT),
    Step("old", When.AGE, 30, frozenset({Priority.URGENT})),
)
RULE = Rule("r", Conditions(), Priority.NORMAL, first_contact_hours=8, resolve_hours=24)
WORSE = replace(RULE, name="worse", priority=Priority.HIGH, first_contact_hours=2, resolve_hours=12)

TO = {
    Action.CONTACT: Status.CONTACTED,
    Action.SNOOZE: Status.SNOOZED,
    Action.RESOLVE: Status.RESOLVED,
    Action.CLOSE: Status.CLOSED,
    Action.REOPEN: Status.REOPENED,
    Action.DISMISS: Status.DISMISSED,
}
DO = {
    Action.ASSIGN: actions.Assign("kim"),
    Action.CONTACT: actions.Contact("called"),
    Action.NOTE: actions.Note("n"),
    Action.RESOLVE: actions.Resolve("courier", Outcome.RECOVERED),
    Action.CLOSE: actions.Close("courier", Outcome.UNRESOLVED),
    Action.REOPEN: actions.Reopen(),
    Action.DISMISS: actions.Dismiss("spam"),
}


def answer(number: int, at: datetime) -> Answer:
    found = fold(f"r-{number}", [Submitted(f"e{number}", at, at, "nps", "0-10", 2, Person("c"))])
    assert found
    return found


class CaseMachine(RuleBasedStateMachine):
    """The model: the state, what a snooze hides, when the first contact was, and the pauses."""

    @initialize(kind=st.sampled_from(ClockKind))
    def open(self, kind: ClockKind) -> None:
        self.clock: Clock = OFFICE if kind is ClockKind.BUSINESS else ELAPSED
        self.now = T0
        self.answers = 1
        self.case: Case = new_case(
            answer(1, T0),
            replace(RULE, clock=kind),
            case_id="1",
            store="s",
            tier=None,
            config_version="v",
            now=T0,
            clock=self.clock,
        ).case
        self.status, self.hidden, self.first = Status.OPEN, Status.OPEN, None
        self.first_due = self.clock.due(T0, timedelta(hours=8))
        self.resolve_from, self.paused, self.since_snooze = T0, timedelta(), T0
        self.missed = False
        self.steps: set[str] = set()
        self.taken: list[str] = []

    def _took(self, change: Change) -> None:
        assert change.case.version == self.case.version + 1
        assert change.entries
        self.case = change.case

    def _wakes(self) -> None:
        if self.status is Status.SNOOZED:
            self.paused += self.clock.worked(self.since_snooze, self.now)
            self.status = self.hidden

    @rule(minutes=st.integers(1, 3000))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(action=st.sampled_from(sorted(DO)))
    def somebody_acts(self, action: Action) -> None:
        if self.status not in ALLOWED[action]:
            try:
                DO[action].apply(self.case, self.now, self.clock)
            except Illegal as illegal:
                assert set(illegal.allowed) == {a for a, states in ALLOWED.items() if self.status in states}
                return
            raise AssertionError(f"{action} was done in {self.status}")
        self._took(DO[action].apply(self.case, self.now, self.clock))
        if action is Action.ASSIGN:
            if self.status is Status.SNOOZED and self.hidden is not Status.CONTACTED:
                self.hidden = Status.ASSIGNED
            elif self.status not in (Status.SNOOZED, Status.CONTACTED):
                self.status = Status.ASSIGNED
        elif action is Action.REOPEN:
            self._begins_again()
        elif action is not Action.NOTE:
            self._wakes()
            self.status = TO[action]
        if action is Action.CONTACT and self.first is None:
            self.first, self.missed = self.now, self.now > self.first_due

    @rule(hours=st.integers(1, 48))
    def somebody_snoozes(self, hours: int) -> None:
        if self.status in ALLOWED[Action.SNOOZE]:
            self._took(actions.Snooze(self.now + timedelta(hours=hours)).apply(self.case, self.now))
            self.hidden, self.status, self.since_snooze = self.status, Status.SNOOZED, self.now

    @rule()
    def the_snooze_ends(self) -> None:
        if self.status is Status.SNOOZED:
            self.now = max(self.now, self.case.snoozed_until or self.now)
            self._took(actions.Wake().apply(self.case, self.now, self.clock))
            self._wakes()

    @rule(worse=st.booleans())
    def another_low_answer_comes(self, worse: bool) -> None:
        if self.status is Status.DISMISSED:
            return
        self.answers += 1
        rule_ = replace(WORSE if worse else RULE, clock=self.case.clock)
        due_before = (self.case.first_contact_due_at, self.case.resolve_due_at)
        change = another_low_answer(
            answer(self.answers, self.now),
            self.case,
            rule_,
            self.now,
            clock=self.clock,
            rules_clock=self.clock,
        )
        self._took(change)
        assert self.case.first_contact_due_at <= due_before[0]
        if self.status in (Status.RESOLVED, Status.CLOSED):
            self._begins_again()
        else:
            self._wakes()
        self.first_due = self.case.first_contact_due_at
        if self.first is not None:
            self.missed = self.missed or self.first > self.first_due

    @rule()
    def the_clock_ticks(self) -> None:
        changes = escalate(self.case, STEPS, lead="lee", clock=self.clock, now=self.now)
        for change in changes:
            assert change.step is not None
            assert change.step not in self.taken
            self.taken.append(change.step)
            self._took(change)
        if changes:
            assert self.status not in (Status.RESOLVED, Status.CLOSED, Status.DISMISSED)
            if any("owner" in entry.detail for change in changes for entry in change.entries):
                self._is_the_leads()
        assert escalate(self.case, STEPS, lead="lee", clock=self.clock, now=self.now) == []

    def _is_the_leads(self) -> None:
        unassigned = (Status.OPEN, Status.REOPENED)
        if self.status in unassigned:
            self.status = Status.ASSIGNED
        elif self.status is Status.SNOOZED and self.hidden in unassigned:
            self.hidden = Status.ASSIGNED

    def _begins_again(self) -> None:
        self.status, self.resolve_from, self.paused = Status.REOPENED, self.now, timedelta()

    @invariant()
    def is_as_the_model_says(self) -> None:
        assert self.case.status is self.status
        assert self.case.live == (self.status not in (Status.CLOSED, Status.DISMISSED))
        assert self.case.first_contact_at == self.first
        assert (self.case.status is Status.SNOOZED) == (self.case.snoozed_until is not None)
        assert self.case.steps == frozenset(self.taken)
        assert len(self.taken) == self.case.escalated

    @invariant()
    def a_late_first_contact_stays_a_miss(self) -> None:
        if self.first is not None and self.missed:
            assert self.case.first_contact_missed(self.now)

    @invariant()
    def the_resolution_counts_its_own_time_without_pauses(self) -> None:
        if self.case.live and self.status is not Status.RESOLVED:
            worked = self.clock.worked(self.resolve_from, self.case.resolve_from or T0)
            assert worked == self.paused
        if self.status in (Status.RESOLVED, Status.CLOSED):
            done = self.case.resolved_at
            assert done is not None
            spent = self.clock.worked(self.resolve_from, done) - self.paused
            assert self.case.resolve_seconds == spent.total_seconds()

    @invariant()
    def what_is_closed_is_explained(self) -> None:
        if self.status is Status.CLOSED:
            assert self.case.root_cause
            assert self.case.outcome


CaseMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestCaseMachine = CaseMachine.TestCase
