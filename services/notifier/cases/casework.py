"""Working cases: what the API and the pages call. One command, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.notifier.cases import recording
from services.notifier.cases.domain.actions import Assign, AssignInTeam, Command, Unfit, Watch, require
from services.notifier.cases.domain.answers import Answer, PastAnswer, vouched
from services.notifier.cases.domain.case import Action, Case, Change, Entry, Part, Refusal
from services.notifier.cases.domain.policy import NO_POLICY, Policy, Step, planned
from services.notifier.cases.domain.rules import AssignMode
from services.notifier.cases.erasing import LEDGER
from services.notifier.cases.recording import CaseRecorder, ChangeRecord
from services.notifier.cases.refusals import AnotherOpenCase, ChangedMeanwhile, NoSuchCase
from services.notifier.cases.store import answers, cases, customers, writing
from services.notifier.cases.store.customers import Customer
from services.notifier.cases.store.writing import Added, HistoryRow
from services.notifier.deliveries import store as deliveries
from services.notifier.deliveries.store import Delivery
from shared.access import users
from shared.db import Database, Session
from shared.events.envelope import new_traceparent

# Cases with what is shown of them, read with a fixed number of queries.


@dataclass(frozen=True, slots=True)
class CaseLine:
    """A case as a list shows it; its answers in their order."""

    case: Case
    answers: Sequence[tuple[Answer, Part]]
    customer: Customer


@dataclass(frozen=True, slots=True)
class CaseDetails(CaseLine):
    """A case with everything about it."""

    history: Sequence[HistoryRow] = ()
    """The oldest first."""
    deliveries: Sequence[Delivery] = ()
    watchers: Sequence[str] = ()
    past: Sequence[PastAnswer] = ()
    """The customer's known answers, the newest first."""
    earlier: Sequence[Case] = ()
    """The customer's other cases, the newest first."""
    ahead: Sequence[tuple[datetime, Step]] = ()
    """Escalation steps that are still to come."""
    replies: Mapping[str, str] = field(default_factory=dict)
    """The store's templates by name, filled in for this case."""


async def case_lines(session: Session, listed: Sequence[Case]) -> list[CaseLine]:
    """Each case with all of its answers that can be read."""
    if not listed:
        return []
    parts = await cases.parts(session, [case.case_id for case in listed])
    keys = {(case.store, response_id) for case in listed for response_id, _ in parts.get(case.case_id, [])}
    known_answers = await answers.read(session, keys)
    known_customers = await customers.known(session, {(case.store, case.customer_ref) for case in listed})
    return [
        CaseLine(
            case,
            [
                (known_answers[case.store, response_id], part)
                for response_id, part in parts.get(case.case_id, [])
                if (case.store, response_id) in known_answers
            ],
            known_customers.get((case.store, case.customer_ref), Customer()),
        )
        for case in listed
    ]


async def case_details(session: Session, case: Case, policy: Policy) -> CaseDetails:
    """A case with everything about it; `policy` is that of its store."""
    [line] = await case_lines(session, [case])
    ref = (case.store, case.customer_ref)
    values = _values(line, policy.store_name)
    return CaseDetails(
        case,
        line.answers,
        line.customer,
        history=await writing.history(session, case.case_id),
        deliveries=await deliveries.of_case(session, case.case_id),
        watchers=(await writing.watchers(session, [case.case_id])).get(case.case_id, []),
        past=(await answers.past_answers(session, [ref])).get(ref, []),
        earlier=await cases.of_customer(session, ref, but=case.case_id),
        ahead=planned(case, policy.steps, policy.clock(case.clock)),
        replies={reply.name: reply.filled(values) for reply in policy.replies},
    )


def _values(line: CaseLine, store_name: str) -> dict[str, str]:
    """What the templates of replies may name."""
    last = line.answers[-1][0] if line.answers else None
    named = vouched([answer for answer, _ in line.answers])
    return {
        "name": (named and named.body.person.name) or "",
        "store": store_name,
        "case": str(line.case.number),
        "order": (last and last.body.order_id) or "",
        "comment": (last and last.comment) or "",
        "owner": line.case.owner or "",
    }


@dataclass(frozen=True, slots=True)
class BulkChanged:
    """A case of a bulk action that was changed, as it is now."""

    case_id: str
    case: Case


@dataclass(frozen=True, slots=True)
class BulkRefused:
    """A case of a bulk action that was left as it is, and why."""

    case_id: str
    why: Refusal


@dataclass(frozen=True, slots=True)
class _Request:
    """A command about a case. `version`: the one that the sender saw; None for any."""

    store: str
    case_id: str
    who: str
    command: Command
    version: int | None
    traceparent: str


class Casework:
    """`who` is `user:<email>`, `key:<key id>` or `system`; `ring` wakes whoever sends what was committed."""

    def __init__(
        self,
        database: Database,
        policies: Mapping[str, Policy],
        ring: Callable[[], None] = lambda: None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._policies = policies
        self._recorder = CaseRecorder(policies)
        self._ring = ring
        self._now = now

    def policy(self, store: str) -> Policy:
        return self._policies.get(store, NO_POLICY)

    async def show(self, store: str, case_id: str) -> CaseDetails:
        """Raises NoSuchCase."""
        async with self._database.snapshot() as session:
            case = await cases.read(session, store, case_id)
            if case is None:
                raise NoSuchCase
            return await self._details(session, case)

    async def act(
        self,
        store: str,
        case_id: str,
        who: str,
        command: Command,
        *,
        version: int | None = None,
        traceparent: str = "",
    ) -> CaseDetails:
        """The case after the command; raises a Refusal when it is not to be changed so."""
        request = _Request(store, case_id, who, command, version, traceparent)
        async with self._database.transaction() as session:
            case = await self._changed(session, request)
            details = await self._details(session, case)
        self._ring()
        return details

    async def bulk(
        self,
        store: str,
        chosen: Sequence[tuple[str, int | None]],
        who: str,
        command: Command,
        *,
        traceparent: str = "",
    ) -> list[BulkChanged | BulkRefused]:
        """The same command for many cases (id and the version that was seen), each on its own."""
        results: list[BulkChanged | BulkRefused] = []
        for case_id, version in chosen:
            request = _Request(store, case_id, who, command, version, traceparent)
            try:
                async with self._database.transaction() as session:
                    case = await self._changed(session, request)
            except Refusal as refusal:
                results.append(BulkRefused(case_id, refusal))
            else:
                results.append(BulkChanged(case_id, case))
        self._ring()
        return results

    async def watch(self, store: str, case_id: str, who: str, command: Watch) -> CaseDetails:
        """Harmless twice; no new version, since nothing that others decide by changes. Raises NoSuchCase."""
        async with self._database.transaction() as session:
            case = await self._held(session, store, case_id)
            change = writing.watch if command.watching else writing.unwatch
            if await change(session, case_id, command.watcher):
                entry = Entry("watched" if command.watching else "unwatched", {"watcher": command.watcher})
                await self._note(session, case, who, entry)
            return await self._details(session, case)

    async def customer_informed(self, store: str, case_id: str, who: str) -> CaseDetails:
        """Note that the customer was informed of what was done; the first time counts. Raises NoSuchCase."""
        async with self._database.transaction() as session:
            case = await self._held(session, store, case_id)
            if case.told_at is None:
                case = replace(case, told_at=self._now())
                await self._note(session, case, who, Entry("told"))
            return await self._details(session, case)

    async def _changed(self, session: Session, request: _Request) -> Case:
        case = await self._held(session, request.store, request.case_id)
        if request.version is not None and request.version != case.version:
            since = await writing.history(session, case.case_id, after_version=request.version)
            raise ChangedMeanwhile(case, since)
        now = self._now()
        match request.command:
            case AssignInTeam(mode=mode):
                change = await self._assigned_in_team(session, case, mode, now)
            case Assign(owner=owner):
                change = (await _to_member(session, case.store, owner)).apply(case, now)
            case command:
                change = command.apply(case, now, self._recorder.clock_of(case))
        await self._refuse_second(session, case, change.case)
        record = ChangeRecord(change, case.response_id, request.traceparent or new_traceparent(), request.who)
        return (await self._recorder.write(session, [record], now=now))[case.case_id]

    async def _assigned_in_team(
        self, session: Session, case: Case, mode: AssignMode, now: datetime
    ) -> Change:
        """Raises Unfit when nobody can be found, and Illegal before a turn is taken."""
        team = self.policy(case.store).teams.get(case.team or "")
        if team is None:
            raise Unfit("owner", "The case has no team to find one in.")
        require(case, Action.ASSIGN)
        members = await users.members_among(session, case.store, team.members)
        owner = await recording.pick_owner(session, case.store, replace(team, members=members), mode)
        if owner is None:
            raise Unfit("owner", f"The team {team.name} has no members who work for this store.")
        return Assign(owner, found_by=mode).apply(case, now)

    async def _held(self, session: Session, store: str, case_id: str) -> Case:
        """The case, locked after its customer, as everywhere; nobody is erased meanwhile."""
        await LEDGER.share(session)
        ref = await cases.customer_of(session, store, case_id)
        if ref is None:
            raise NoSuchCase
        await customers.lock(session, [(store, ref)])
        case = await cases.read(session, store, case_id, for_update=True)
        if case is None:
            raise NoSuchCase
        return case

    async def _refuse_second(self, session: Session, before: Case, after: Case) -> None:
        if before.live or not after.live:
            return
        for other in await cases.lock(session, [(after.store, after.customer_ref)], []):
            if other.live and other.case_id != after.case_id:
                raise AnotherOpenCase(other.case_id)

    async def _note(self, session: Session, case: Case, who: str, entry: Entry) -> None:
        await cases.save(session, [case])
        row = HistoryRow(case.case_id, self._now(), who, entry)
        await writing.add(session, Added(history=[row]))

    async def _details(self, session: Session, case: Case) -> CaseDetails:
        return await case_details(session, case, self.policy(case.store))


async def _to_member(session: Session, store: str, owner: str) -> Assign:
    """The assignment to somebody who works for the store. Raises Unfit for anybody else."""
    emails = await users.members_among(session, store, [owner])
    if not emails:
        raise Unfit("owner", "Nobody who works for this store has this e-mail address.")
    return Assign(emails[0])
