"""Finding an owner for a case in its team, fairly under any number of handlers at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.notifier.cases.domain.actions import handed_out
from services.notifier.cases.domain.case import Case, Part
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.recording import Written
from services.notifier.domain.states import Status
from services.notifier.domain.teams import Assign, Team, next_owner
from services.notifier.store import turns
from shared.db import Session


async def pick(session: Session, store: str, team: Team, how: Assign) -> str | None:
    """Whose turn it is in the team; nobody else gets the same turn. None in a team without members."""
    [owner] = await _owners(session, [(store, team, how)])
    return owner


async def hand_out(
    session: Session, written: Sequence[Written], policies: Mapping[str, Policy]
) -> list[Written]:
    """The changes of a batch, with owners for cases that opened for a team that hands its cases out."""
    last = {w.change.case.case_id: w.change.case for w in written}
    waiting: dict[str, tuple[str, Team, Assign]] = {}
    for w in written:
        case = last[w.change.case.case_id]
        team = policies[case.store].teams.get(case.team or "")
        opens = w.change.part in (Part.OPENED, Part.REOPENED) and case.live and case.owner is None
        if opens and team is not None and team.assign is not Assign.NONE:
            waiting.setdefault(case.case_id, (case.store, team, team.assign))
    if not waiting:
        return list(written)
    owners = dict(zip(waiting, await _owners(session, list(waiting.values())), strict=True))
    result: list[Written] = []
    for w in written:
        case_id = w.change.case.case_id
        owner = owners.pop(case_id, None)
        if owner is not None:
            how = waiting[case_id][2]
            result.append(replace(w, change=handed_out(w.change, owner, how)))
            last[case_id] = replace(last[case_id], owner=owner)
        elif case_id in waiting:
            result.append(replace(w, change=replace(w.change, case=_owned(w.change.case, last[case_id]))))
        else:
            result.append(w)
    return result


def _owned(case: Case, final: Case) -> Case:
    """A later change of the same batch, to a case that has found its owner meanwhile."""
    status = Status.ASSIGNED if case.status is Status.OPEN else case.status
    return replace(case, owner=final.owner, status=status, auto_assigned=True)


async def _owners(session: Session, wanted: Sequence[tuple[str, Team, Assign]]) -> list[str | None]:
    """One owner each, in this order."""
    asked = Counter((store, team.name) for store, team, _ in wanted)
    taken = await turns.take(session, asked)
    by_load = [(store, team) for store, team, how in wanted if how is Assign.LEAST_LOADED]
    load = await turns.load(session, [(store, member) for store, team in by_load for member in team.members])
    owners = []
    for store, team, how in wanted:
        turn = taken[store, team.name]
        taken[store, team.name] += 1
        owner = next_owner(team, how, turn, {member: load.get((store, member), 0) for member in team.members})
        if owner is not None:
            load[store, owner] = load.get((store, owner), 0) + 1
        owners.append(owner)
    return owners
