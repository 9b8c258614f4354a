"""What an answer does to the cases of its customer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.notifier.cases.domain.answers import Amended, Answer, Revision
from services.notifier.cases.domain.case import (
    Alert,
    Case,
    CaseEvent,
    Change,
    Entry,
    Part,
    Status,
    awake,
    begun_again,
    moved,
)
from services.notifier.cases.domain.clocks import ELAPSED, Clock
from services.notifier.cases.domain.rules import Rule
from shared.feedback.revisions import may_change

RETRACTED = "retracted"


def new_case(
    answer: Answer,
    rule: Rule,
    *,
    case_id: str,
    store: str,
    tier: str | None,
    config_version: str,
    now: datetime,
    clock: Clock = ELAPSED,
) -> Change:
    """A case where there was none. `clock` is the rule's; it runs from when the low score reached us."""
    since = answer.since
    case = Case(
        case_id=case_id,
        store=store,
        customer_ref=answer.body.person.ref,
        response_id=answer.response_id,
        status=Status.OPEN,
        priority=rule.priority,
        rule=rule.name,
        config_version=config_version,
        verified=answer.body.verified,
        opened_at=now,
        first_contact_due_at=clock.due(since, timedelta(hours=rule.first_contact_hours)),
        resolve_due_at=clock.due(since, timedelta(hours=rule.resolve_hours)),
        resolve_hours=rule.resolve_hours,
        tier=tier,
        standing=frozenset({answer.response_id}),
        team=rule.team,
        clock=rule.clock,
        first_contact_hours=rule.first_contact_hours,
        clock_from=since,
        resolve_from=since,
        score=answer.score,
        metric=answer.body.metric,
        wants_contact=answer.wants_contact,
    )
    entry = Entry("opened", {**_about(answer), "rule": rule.name, "priority": rule.priority})
    return Change(case, CaseEvent.OPENED, (entry,), _alert("opened", answer, rule), Part.OPENED)


def may_reopen(case: Case, now: datetime, within: timedelta) -> bool:
    """Whether a low answer opens this case again: it was closed, and not longer ago than `within`."""
    return case.status is Status.CLOSED and case.closed_at is not None and now - case.closed_at <= within


def another_low_answer(
    answer: Answer,
    case: Case,
    rule: Rule,
    now: datetime,
    *,
    clock: Clock = ELAPSED,
    rules_clock: Clock = ELAPSED,
) -> Change:
    """The customer is unhappy again: the answer joins a case in work, and reopens one that was done.

    `clock` is the case's, `rules_clock` that of the rule.
    """
    case = _with(answer, case)
    if case.status in (Status.RESOLVED, Status.CLOSED):
        return _reopened(answer, case, rule, clock=clock, rules_clock=rules_clock)
    return _joined(answer, case, rule, now, clock=clock, rules_clock=rules_clock)


def _reopened(answer: Answer, case: Case, rule: Rule, *, clock: Clock, rules_clock: Clock) -> Change:
    raised = _raised(case, rule, answer.since, rules_clock)
    case = begun_again(raised, answer.since, clock if raised.clock is case.clock else rules_clock)
    entry = Entry("reopened", _about(answer))
    alert = _alert(f"reopened:{answer.response_id}", answer, rule)
    return Change(moved(case), CaseEvent.REOPENED, (entry,), alert, Part.REOPENED)


def _joined(
    answer: Answer, case: Case, rule: Rule, now: datetime, *, clock: Clock, rules_clock: Clock
) -> Change:
    entries = [Entry("joined", _about(answer))]
    if case.status is Status.SNOOZED:
        case = awake(case, now, clock)
        entries.append(Entry("woken"))
    alert: Alert | None = None
    if rule.priority.outranks(case.priority):
        case = _raised(case, rule, answer.since, rules_clock)
        entries.append(Entry("priority_raised", {"priority": rule.priority, "rule": rule.name}))
        alert = _alert(f"raised:{rule.priority}", answer, rule)
    return Change(moved(case), CaseEvent.CHANGED, tuple(entries), alert, Part.JOINED)


def another_answer(answer: Answer, case: Case) -> Change:
    """The customer of this case answered again, and no rule takes it: noted, and nothing else."""
    group = answer.group.name.lower()
    entry = Entry("answered_again", {**_about(answer), "group": group})
    return Change(moved(case), CaseEvent.CHANGED, (entry,))


def known_answer_changed(
    answer: Answer,
    case: Case,
    part: Part,
    *,
    rule: Rule | None,
    incoming: tuple[Revision, ...],
    now: datetime,
    replaced: bool = False,
    rules_clock: Clock = ELAPSED,
) -> Change | None:
    """An answer of this case was amended or retracted, or (`replaced`) an older body of it came in. It is
    noted; a better score closes nothing.

    A retraction dismisses a case that nobody touched and that has no other answer. `incoming`: the revisions
    that came in just now. `rule` is given when they change what rules ask about: it may raise the priority
    and alert channels that had no alert. A channel is alerted once under one reason, so the order of the
    amendments does not matter.
    """
    if answer.retracted:
        return retracted(answer, case, now)
    amendments = [
        revision
        for revision in incoming
        if isinstance(revision, Amended) and any(may_change(r, answer.body) for r in revision.revisions())
    ]
    entries = [
        Entry("answer_amended", {"response_id": answer.response_id, "fields": list(amended.changes)})
        for amended in amendments
    ]
    if replaced or any(amended.score is not None for amended in amendments):
        entries.append(Entry("score_changed", _about(answer)))
    alert = None
    if rule is not None and case.live:
        rises = rule.priority.outranks(case.priority)
        if part is not Part.JOINED:
            reason = "opened" if part is Part.OPENED else f"reopened:{answer.response_id}"
            alert = _alert(reason, answer, rule)
        elif rises:
            alert = _alert(f"raised:{rule.priority}", answer, rule)
        if rises:
            case = _raised(case, rule, answer.since, rules_clock)
            entries.append(Entry("priority_raised", {"priority": rule.priority, "rule": rule.name}))
    if not entries:
        return None
    case = replace(case, wants_contact=case.wants_contact or answer.wants_contact)
    if case.standing <= {answer.response_id}:
        case = replace(case, score=answer.score, metric=answer.body.metric)
    return Change(moved(case), CaseEvent.CHANGED, tuple(entries), alert, releases_alert=answer.settled)


def retracted(answer: Answer, case: Case, now: datetime) -> Change | None:
    """The answer stands for nothing in this case any more. Nothing happens if it did not before."""
    if answer.response_id not in case.standing:
        return None
    case = replace(case, standing=case.standing - {answer.response_id})
    entries = [Entry("answer_retracted", {"response_id": answer.response_id})]
    if case.untouched and not case.standing:
        case = replace(case, status=Status.DISMISSED, closed_at=now, dismissed_because=RETRACTED)
        entries.append(Entry("dismissed", {"reason": RETRACTED}))
        return Change(moved(case), CaseEvent.CLOSED, tuple(entries), cancels_alerts=True, retracts=True)
    return Change(moved(case), CaseEvent.CHANGED, tuple(entries), retracts=True)


def _with(answer: Answer, case: Case) -> Case:
    """One verified answer is enough to know who the customer is, and one wish to be called to call."""
    return replace(
        case,
        standing=case.standing | {answer.response_id},
        verified=case.verified or answer.body.verified,
        wants_contact=case.wants_contact or answer.wants_contact,
        score=answer.score,
        metric=answer.body.metric,
    )


def _raised(case: Case, rule: Rule, since: datetime, clock: Clock) -> Case:
    """The more urgent of what it was and what the rule says; a deadline only ever comes nearer.

    Hours of two clocks cannot be compared, so with another clock come the rule's own hours.
    """
    if not rule.priority.outranks(case.priority):
        return case
    resolve_hours, first_hours = rule.resolve_hours, rule.first_contact_hours
    if rule.clock is case.clock:
        resolve_hours = min(case.resolve_hours, resolve_hours)
        first_hours = min(case.first_contact_hours or first_hours, first_hours)
    return replace(
        case,
        priority=rule.priority,
        rule=rule.name,
        team=rule.team or case.team,
        clock=rule.clock,
        resolve_hours=resolve_hours,
        first_contact_hours=first_hours,
        first_contact_due_at=min(
            case.first_contact_due_at, clock.due(since, timedelta(hours=rule.first_contact_hours))
        ),
        resolve_due_at=min(case.resolve_due_at, clock.due(since, timedelta(hours=rule.resolve_hours))),
    )


def _alert(reason: str, answer: Answer, rule: Rule) -> Alert:
    return Alert(reason, answer.response_id, answer.since, answer.alert_at, rule.channels)


def _about(answer: Answer) -> dict[str, object]:
    return {"response_id": answer.response_id, "metric": answer.body.metric, "score": answer.score}
