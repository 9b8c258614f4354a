"""Recording changes of cases: rows, history, alerts and events, all in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from services.notifier.cases.domain.actions import assigned_at_opening
from services.notifier.cases.domain.case import Case, CaseEvent, Change, Entry, Part, Status, id_of
from services.notifier.cases.domain.clocks import Clock
from services.notifier.cases.domain.policy import NO_POLICY, Policy, with_next_step
from services.notifier.cases.domain.rules import AssignMode, Team, next_owner
from services.notifier.cases.store import cases, writing
from services.notifier.deliveries import store as deliveries
from services.notifier.deliveries.store import Delivery
from shared.db import Outbox, Session
from shared.events import Event
from shared.events.cases import CaseChanged, CaseClosed, CaseOpened
from shared.events.envelope import trace_id
from shared.ops import metrics
from shared.ops.logs import log

# Which event tells the other services of a change.


def event_of(change: Change, response_id: str, at: datetime) -> Event:
    """The event of a change; `response_id` is the answer behind it, for a case that opened."""
    case = change.case
    of_every_event: dict[str, Any] = {
        "store": case.store,
        "case_id": case.case_id,
        "at": at,
        "customer_ref": case.customer_ref,
        "status": case.status,
        "priority": case.priority,
        "rule": case.rule,
    }
    if change.event is CaseEvent.CHANGED:
        return CaseChanged(**of_every_event, change=change.entries[0].what)
    if change.event is CaseEvent.CLOSED:
        return CaseClosed(**of_every_event, root_cause=case.root_cause, outcome=case.outcome)
    reopened = change.event is CaseEvent.REOPENED
    return CaseOpened(**of_every_event, response_id=response_id, reopened=reopened)


_log = log("notifier")

SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """A change that is to be recorded: the answer behind it, what caused it, and who."""

    change: Change
    response_id: str
    traceparent: str
    who: str = SYSTEM


class CaseRecorder:
    """Records changes of cases. `policies`: by store, for channels of alerts and next escalation steps."""

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self._policies = policies
        self._outbox = Outbox("notifier")

    def policy(self, store: str) -> Policy:
        return self._policies.get(store, NO_POLICY)

    def clock_of(self, case: Case) -> Clock:
        return self.policy(case.store).clock(case.clock)

    async def write(
        self,
        session: Session,
        records: Sequence[ChangeRecord],
        *,
        now: datetime,
        new: Container[str] = (),
        words: Mapping[str, str] | None = None,
    ) -> dict[str, Case]:
        """Record the changes in their order; returns each case as it is after the last one.

        This transaction has locked the cases, except those of `new`, which are inserted. `words`: by case,
        text by which it can be found from now on.
        """
        last = {r.change.case.case_id: self._planned(r.change.case) for r in records}
        words = words or {}
        await cases.unlink(session, [(r.change.case.store, r.response_id) for r in records if r.change.moves])
        await self._add(session, records, [case for key, case in last.items() if key in new], words, now)
        await cases.save(session, [last[key] for key in sorted(last) if key not in new])
        await cases.add_words(session, {key: text for key, text in words.items() if key not in new})
        await cases.mark_retracted(
            session, [(r.change.case.store, r.response_id) for r in records if r.change.retracts]
        )
        await writing.add_steps(
            session, [(r.change.case.case_id, r.change.step, now) for r in records if r.change.step]
        )
        await deliveries.release(
            session, [(r.change.case.case_id, r.response_id) for r in records if r.change.releases_alert]
        )
        await deliveries.cancel(session, [r.change.case.case_id for r in records if r.change.cancels_alerts])
        events = [(event_of(r.change, r.response_id, now), r.traceparent) for r in records]
        await self._outbox.put_all(session, events)
        for record in records:
            _log_change(record)
        return last

    async def _add(
        self,
        session: Session,
        records: Sequence[ChangeRecord],
        opened: Sequence[Case],
        words: Mapping[str, str],
        now: datetime,
    ) -> None:
        added = writing.Added(
            opened,
            words,
            answers=[
                ((r.change.case.store, r.response_id), cases.Link(r.change.case.case_id, r.change.part), now)
                for r in records
                if r.change.part is not None
            ],
            history=[
                writing.HistoryRow(
                    record.change.case.case_id, now, record.who, entry, record.change.case.version
                )
                for record in records
                for entry in record.change.entries
            ],
            deliveries=[new for record in records for new in self._deliveries(record)],
        )
        await writing.add(session, added)

    def _planned(self, case: Case) -> Case:
        return with_next_step(case, self.policy(case.store).steps, self.clock_of(case))

    def _deliveries(self, record: ChangeRecord) -> list[deliveries.NewDelivery]:
        alert, case = record.change.alert, record.change.case
        if alert is None:
            return []
        channels = self.policy(case.store).channels
        if alert.channels is not None:
            channels = tuple(name for name in channels if name in alert.channels)
        return [
            deliveries.NewDelivery(
                delivery_id=id_of(alert.received_at, case.case_id, alert.reason, channel),
                store=case.store,
                case_id=case.case_id,
                reason=alert.reason,
                channel=channel,
                response_id=alert.response_id,
                received_at=alert.received_at,
                not_before=alert.not_before,
                traceparent=record.traceparent,
            )
            for channel in channels
        ]


def _log_change(record: ChangeRecord) -> None:
    change, case = record.change, record.change.case
    if change.event in (CaseEvent.OPENED, CaseEvent.REOPENED):
        metrics.CASES_OPENED.labels(case.priority).inc()
    with structlog.contextvars.bound_contextvars(correlation_id=trace_id(record.traceparent)):
        _log.info(
            f"case.{change.event}",
            case_id=case.case_id,
            response_id=record.response_id,
            rule=case.rule,
            store=case.store,
            reason=change.entries[0].what,
        )


async def record_replays(session: Session, replayed: Iterable[Delivery], who: str, *, at: datetime) -> None:
    """Say in the history of each case who sent its alert again; deliveries of notices have none."""
    rows = [
        writing.HistoryRow(
            delivery.case_id,
            at,
            who,
            Entry("delivery_replayed", {"delivery_id": delivery.delivery_id, "channel": delivery.channel}),
        )
        for delivery in replayed
        if delivery.case_id
    ]
    await writing.add(session, writing.Added(history=rows))


# Finding an owner for a case in its team, fairly under any number of handlers at once.


async def pick_owner(session: Session, store: str, team: Team, how: AssignMode) -> str | None:
    """Whose turn it is in the team; nobody else gets the same turn. None in a team without members."""
    [owner] = await _owners(session, [(store, team, how)])
    return owner


async def with_owners(
    session: Session, records: Sequence[ChangeRecord], policies: Mapping[str, Policy]
) -> list[ChangeRecord]:
    """The changes of a batch, with owners for cases that opened for a team that hands its cases out."""
    last = {record.change.case.case_id: record.change.case for record in records}
    waiting: dict[str, tuple[str, Team, AssignMode]] = {}
    for record in records:
        case = last[record.change.case.case_id]
        team = policies[case.store].teams.get(case.team or "")
        opens = record.change.part in (Part.OPENED, Part.REOPENED) and case.live and case.owner is None
        if opens and team is not None and team.assign is not AssignMode.NONE:
            waiting.setdefault(case.case_id, (case.store, team, team.assign))
    if not waiting:
        return list(records)
    owners = dict(zip(waiting, await _owners(session, list(waiting.values())), strict=True))
    result: list[ChangeRecord] = []
    for record in records:
        case_id = record.change.case.case_id
        owner = owners.pop(case_id, None)
        if owner is not None:
            how = waiting[case_id][2]
            result.append(replace(record, change=assigned_at_opening(record.change, owner, how)))
            last[case_id] = replace(last[case_id], owner=owner)
        elif case_id in waiting:
            result.append(
                replace(record, change=replace(record.change, case=_owned(record.change.case, last[case_id])))
            )
        else:
            result.append(record)
    return result


def _owned(case: Case, final: Case) -> Case:
    """A later change of the same batch, to a case that has found its owner meanwhile."""
    status = Status.ASSIGNED if case.status is Status.OPEN else case.status
    return replace(case, owner=final.owner, status=status, auto_assigned=True)


async def _owners(session: Session, requests: Sequence[tuple[str, Team, AssignMode]]) -> list[str | None]:
    """One owner each, in this order."""
    turns_needed = Counter((store, team.name) for store, team, _ in requests)
    taken = await cases.take(session, turns_needed)
    by_load = [(store, team) for store, team, how in requests if how is AssignMode.LEAST_LOADED]
    load = await cases.load(session, [(store, member) for store, team in by_load for member in team.members])
    owners = []
    for store, team, how in requests:
        turn = taken[store, team.name]
        taken[store, team.name] += 1
        owner = next_owner(team, how, turn, {member: load.get((store, member), 0) for member in team.members})
        if owner is not None:
            load[store, owner] = load.get((store, owner), 0) + 1
        owners.append(owner)
    return owners
