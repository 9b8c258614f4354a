"""The same done to several cases at once: what can be done is done, and what cannot is named."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from services.notifier.cases import casework
from services.notifier.cases.casework import Done, Refused
from services.notifier.cases.domain.actions import AssignInTeam, Snooze
from services.notifier.cases.domain.case import Case
from services.notifier.cases.refusals import NoSuchCase, explain
from services.notifier.cases.store import cases
from services.notifier.cases.wording import DISMISSAL_REASONS, MemberNames
from services.notifier.inbox.forms import READERS, Asker, Wish, assignment, dismissal, moment_of
from services.notifier.inbox.list_view import name_of
from services.notifier.inbox.search import PAGE, asked_of
from services.notifier.inbox.site import AtStore, FormOf, Office
from shared.http import Problem
from shared.pages.forms import Form
from shared.pages.notices import Notice, Undo
from shared.pages.people import At

_DONE = {"assign": "Assigned", "snooze": "Snoozed", "dismiss": "Dismissed", "wake": "Woke"}


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A selected case, and the version that was seen."""

    case_id: str
    version: int

    def __str__(self) -> str:
        return f"{self.case_id}:{self.version}"


@dataclass(frozen=True, slots=True)
class RefusedShown:
    """A case that was left as it is, and why."""

    number: int
    name: str
    href: str
    why: str


def routes(office: Office) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    worker = _Worker(office)

    @router.post("/inbox/bulk")
    async def work(request: Request, at: AtStore, form: FormOf) -> Response:
        return await worker.work(request, at, form)

    return router


class _Worker:
    def __init__(self, office: Office) -> None:
        self._office = office

    async def work(self, request: Request, at: At, form: Form) -> Response:
        office, do = self._office, form.text("do")
        back = f"/inbox?{office.query(at, asked_of(request.query_params))}"
        tickets = _tickets(form)
        if do not in _DONE:
            raise Problem(422, "invalid", "There is no such action.")
        if do == "dismiss" and at.role == "agent":
            raise Problem(403, "role", "Only managers dismiss several cases at once.")
        if not tickets:
            return office.pages.go(request, back, Notice("warn", "Select the cases first."))
        wish = _wish(do, form, office.asker(at)) if _complete(do, form) else None
        if wish is None or form.errors:
            return self._ask(request, at, do, form, tickets)
        return await self._do(request, at, do, wish, tickets)

    def _ask(self, request: Request, at: At, do: str, form: Form, tickets: list[_Ticket]) -> Response:
        """What a button alone cannot say: until when, or why."""
        return self._office.pages.html(
            request,
            "bulk.html",
            422 if form.errors else 200,
            do=do,
            tickets=[str(ticket) for ticket in tickets],
            query=self._office.query(at, asked_of(request.query_params)),
            morning=self._office.next_morning(at.store),
            reasons=DISMISSAL_REASONS,
            errors=form.errors,
            refused=[],
            done=0,
        )

    async def _do(self, request: Request, at: At, do: str, wish: Wish, tickets: list[_Ticket]) -> Response:
        office = self._office
        async with office.database.snapshot() as session:
            before = await cases.by_ids(session, [ticket.case_id for ticket in tickets])
        results = await office.casework.bulk(
            at.store,
            [(ticket.case_id, ticket.version) for ticket in tickets],
            at.person.who,
            wish.command,
            traceparent=request.scope.get("closeloop.traceparent", ""),
        )
        done = [result for result in results if isinstance(result, Done)]
        refused = [result for result in results if isinstance(result, Refused)]
        query = office.query(at, asked_of(request.query_params))
        said = _said(do, done, wish, office.names(at.store))
        if not refused:
            undo = _undo(do, wish, done, before, query)
            return office.pages.go(request, f"/inbox?{query}", Notice("ok", said, undo=undo))
        return office.pages.html(
            request,
            "bulk.html",
            409,
            do=do,
            tickets=[],
            query=query,
            said=said if done else "",
            done=len(done),
            refused=await self._refused(at, refused, query),
            errors={},
        )

    async def _refused(self, at: At, refused: list[Refused], query: str) -> list[RefusedShown]:
        names = self._office.names(at.store)
        async with self._office.database.snapshot() as session:
            found = await cases.by_ids(session, [each.case_id for each in refused])
            known = [case for case in found.values() if case.store == at.store]
            lines = {line.case.case_id: line for line in await casework.lines(session, known)}
        return [
            RefusedShown(
                lines[each.case_id].case.number,
                name_of(lines[each.case_id]),
                f"/inbox/{each.case_id}?{query}",
                explain(each.why, names.actor).line,
            )
            if each.case_id in lines
            else RefusedShown(0, "", "", explain(NoSuchCase()).line)
            for each in refused
        ]


def _tickets(form: Form) -> list[_Ticket]:
    """At most a page of them."""
    found: dict[str, _Ticket] = {}
    for text in form.all("case")[: PAGE * 4]:
        case_id, _, version = text.partition(":")
        if version.isascii() and version.isdigit() and len(version) < 10 and 0 < len(case_id) <= 64:
            found.setdefault(case_id, _Ticket(case_id, int(version)))
    return [ticket for ticket in found.values() if "\0" not in ticket.case_id]


def _complete(do: str, form: Form) -> bool:
    """Whether all that the action needs was sent; the list's own buttons send less."""
    if do == "snooze":
        return form.ticked("until")
    return form.ticked("reason") if do == "dismiss" else True


def _wish(do: str, form: Form, asker: Asker) -> Wish:
    if do == "assign":
        return assignment(form, asker)
    if do == "dismiss":
        return dismissal(form)
    if do == "wake":
        return READERS["wake"](form, asker)
    until = moment_of(form, "until", asker.zone)
    return Wish(Snooze(until), f"to {until.astimezone(asker.zone):%a %d %b, %H:%M}")


def _said(do: str, done: list[Done], wish: Wish, names: MemberNames) -> str:
    how_many = f"{len(done)} {'case' if len(done) == 1 else 'cases'}"
    if do == "assign" and not isinstance(wish.command, AssignInTeam) and done:
        return f"Assigned {how_many} to {names.of(done[0].case.owner)}."
    if do == "assign":
        return f"Assigned {how_many} to the least loaded."
    return f"{_DONE[do]} {how_many} {wish.said}." if do == "snooze" else f"{_DONE[do]} {how_many}."


def _undo(do: str, wish: Wish, done: list[Done], before: dict[str, Case], query: str) -> Undo | None:
    """What takes it all back, where one action can: a snooze, or an owner that all of them had."""
    tickets = [f"{each.case_id}:{each.case.version}" for each in done]
    if do == "snooze":
        return Undo(f"/inbox/bulk?{query}", {"do": "wake", "case": tickets})
    owners = {before[each.case_id].owner for each in done if each.case_id in before}
    if do == "assign" and len(owners) == 1 and (owner := owners.pop()):
        return Undo(f"/inbox/bulk?{query}", {"do": "assign", "owner": owner, "case": tickets})
    return None
