"""The clock of cases: snoozes that end, and escalation steps that are due."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from services.notifier.cases.domain.actions import Wake
from services.notifier.cases.domain.case import Case
from services.notifier.cases.domain.policy import Policy, escalate, with_next_step
from services.notifier.cases.recording import CaseRecorder, ChangeRecord
from services.notifier.cases.store import cases
from services.notifier.deliveries.jobs import give_up_stranded
from shared.db import Database
from shared.jobs.rounds import RepeatedJob
from shared.ops import tracing

_AT_ONCE = 500
_PLANNED_AT_ONCE = 2000


class Clock(RepeatedJob):
    """Wakes cases whose snooze is over, takes escalation steps, gives up deliveries whose channel is gone.

    Any number of replicas may run it: a row that another one has locked is left out, and a step that is taken
    is written in the same transaction as what it does.
    """

    def __init__(
        self, database: Database, policies: Mapping[str, Policy], *, every_seconds: float = 10
    ) -> None:
        super().__init__("clock", every_seconds=every_seconds)
        self._database = database
        self._targets = [(store, name) for store, policy in policies.items() for name in policy.channels]
        self._policies = policies
        self._recorder = CaseRecorder(policies)

    async def round(self) -> float:
        await self.tick()
        self.succeeded()
        return self.pause()

    async def tick(self) -> int:
        """Returns how many cases woke or were escalated."""
        changed_cases = await self._wake()
        await self._plan()
        escalated = _AT_ONCE
        while escalated == _AT_ONCE and not self._stopping:
            escalated = await self._escalate()
            changed_cases += escalated
        await give_up_stranded(self._database, self._targets)
        return changed_cases

    async def _wake(self) -> int:
        async with self._database.transaction() as session:
            now = datetime.now(UTC)
            woken = [
                ChangeRecord(
                    Wake().apply(case, now, self._recorder.clock_of(case)), "", tracing.new_trace("wake case")
                )
                for case in await cases.snoozed_out(session, _AT_ONCE)
            ]
            await self._recorder.write(session, woken, now=now)
        return len(woken)

    async def _escalate(self) -> int:
        """Every step that is due of as many cases as fit one transaction; returns how many cases."""
        async with self._database.transaction() as session:
            now = datetime.now(UTC)
            due_cases = await cases.steps_due(session, _AT_ONCE)
            records: list[ChangeRecord] = []
            for case in due_cases:
                policy = self._recorder.policy(case.store)
                changes = escalate(
                    case,
                    policy.steps,
                    lead=policy.lead(case.team),
                    clock=self._recorder.clock_of(case),
                    now=now,
                )
                records += [
                    ChangeRecord(change, case.response_id, tracing.new_trace("escalate case"))
                    for change in changes
                ]
            escalated = await self._recorder.write(session, records, now=now)
            # A step that is due no more, because the configuration changed: look again when one will be.
            idle = [case for case in due_cases if case.case_id not in escalated]
            await cases.plan(session, [self._looked_at(case) for case in idle])
        return len(due_cases)

    async def _plan(self) -> None:
        """Look anew at the cases of stores whose escalation steps have changed, some in each tick."""
        for store, policy in self._policies.items():
            async with self._database.transaction() as session:
                waiting = await cases.to_plan(session, store, _fingerprint(policy), _PLANNED_AT_ONCE)
                await cases.plan(session, [self._looked_at(case) for case in waiting or ()])

    def _looked_at(self, case: Case) -> tuple[str, datetime | None]:
        """When to look at the case again."""
        steps = self._recorder.policy(case.store).steps
        return case.case_id, with_next_step(case, steps, self._recorder.clock_of(case)).next_step_at


def _fingerprint(policy: Policy) -> str:
    """Names what decides when a step is due, the same in every process."""
    steps = [(s.name, s.when.value, s.after_hours, sorted(s.priorities)) for s in policy.steps]
    hours = policy.hours
    open_at = hours and (hours.zone.key, hours.week, sorted(hours.holidays))
    return hashlib.sha256(repr((steps, open_at)).encode()).hexdigest()[:16]
