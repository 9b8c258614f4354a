"""One action for several cases at once: each case that allows it is changed, and the others are named."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from services.notifier.cases import casework
from services.notifier.cases.casework import BulkChanged, BulkRefused
from services.notifier.cases.domain.actions import AssignInTeam, Snooze
from services.notifier.cases.domain.case import Case
from services.notifier.cases.refusals import NoSuchCase, explain
from services.notifier.cases.store import cases
from services.notifier.cases.wording import DISMISSAL_REASONS, MemberNames
from services.notifier.inbox.forms import READERS, Actor, RequestedAction, assignment, dismissal, moment_of
from services.notifier.inbox.list_view import name_of
from services.notifier.inbox.search import PAGE, query_of_address
from services.notifier.inbox.site import AtStore, FormOf, InboxSite
from shared.http import Problem
from shared.pages.forms import Form
from shared.pages.notices import FlashMessage, UndoButton
from shared.pages.people import PersonAtStore

_DONE_WORDS = {"assign": "Assigned", "snooze": "Snoozed", "dismiss": "Dismissed", "wake": "Woke"}


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A selected case and the version of it that the person saw; as text, what its check box sends."""

    case_id: str
    version: int

    def __str__(self) -> str:
        return f"{self.case_id}:{self.version}"


@dataclass(frozen=True, slots=True)
class RefusedCase:
    """A case that was left as it is, and why."""

    number: int
    name: str
    href: str
    why: str


def routes(site: InboxSite) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    bulk_actions = _BulkActions(site)

    @router.post("/inbox/bulk")
    async def act(request: Request, at: AtStore, form: FormOf) -> Response:
        return await bulk_actions.act(request, at, form)

    return router


class _BulkActions:
    """Does one action for the selected cases; what a button does not say, such as the day, is asked for."""

    def __init__(self, site: InboxSite) -> None:
        self._site = site

    async def act(self, request: Request, at: PersonAtStore, form: Form) -> Response:
        site, action = self._site, form.text("do")
        back = f"/inbox?{site.query_string(at, query_of_address(request.query_params))}"
        tickets = _tickets(form)
        if action not in _DONE_WORDS:
            raise Problem(422, "invalid", "There is no such action.")
        if action == "dismiss" and at.role == "agent":
            raise Problem(403, "role", "Only managers dismiss several cases at once.")
        if not tickets:
            return site.pages.go(request, back, FlashMessage("warn", "Select the cases first."))
        requested = _requested_action(action, form, site.actor(at)) if _has_all_fields(action, form) else None
        if requested is None or form.errors:
            return self._ask_for_details(request, at, action, form, tickets)
        return await self._act(request, at, action, requested, tickets)

    def _ask_for_details(
        self, request: Request, at: PersonAtStore, action: str, form: Form, tickets: list[_Ticket]
    ) -> Response:
        """The page that asks for what the button did not say, or not rightly: until when, why, or to whom."""
        return self._site.pages.html(
            request,
            "bulk.html",
            422 if form.errors else 200,
            action=action,
            tickets=[str(ticket) for ticket in tickets],
            query_string=self._site.query_string(at, query_of_address(request.query_params)),
            morning=self._site.next_morning(at.store),
            reasons=DISMISSAL_REASONS,
            assignees=self._site.assignees(at.store),
            errors=form.errors,
            refused=[],
        )

    async def _act(
        self,
        request: Request,
        at: PersonAtStore,
        action: str,
        requested: RequestedAction,
        tickets: list[_Ticket],
    ) -> Response:
        site = self._site
        async with site.database.snapshot() as session:
            before = await cases.by_ids(session, [ticket.case_id for ticket in tickets])
        results = await site.casework.bulk(
            at.store,
            [(ticket.case_id, ticket.version) for ticket in tickets],
            at.person.who,
            requested.command,
            traceparent=request.scope.get("closeloop.traceparent", ""),
        )
        changed = [result for result in results if isinstance(result, BulkChanged)]
        refused = [result for result in results if isinstance(result, BulkRefused)]
        query_string = site.query_string(at, query_of_address(request.query_params))
        done_text = _done_text(action, changed, requested, site.names(at.store))
        if not refused:
            undo = _undo(action, requested, changed, before, query_string)
            return site.pages.go(request, f"/inbox?{query_string}", FlashMessage("ok", done_text, undo=undo))
        return site.pages.html(
            request,
            "bulk.html",
            409,
            action=action,
            tickets=[],
            query_string=query_string,
            done_text=done_text if changed else "",
            refused=await self._refused(at, refused, query_string),
            errors={},
        )

    async def _refused(
        self, at: PersonAtStore, refused: list[BulkRefused], query_string: str
    ) -> list[RefusedCase]:
        names = self._site.names(at.store)
        async with self._site.database.snapshot() as session:
            by_id = await cases.by_ids(session, [refusal.case_id for refusal in refused])
            of_store = [case for case in by_id.values() if case.store == at.store]
            lines = {line.case.case_id: line for line in await casework.case_lines(session, of_store)}
        return [
            RefusedCase(
                lines[refusal.case_id].case.number,
                name_of(lines[refusal.case_id]),
                f"/inbox/{refusal.case_id}?{query_string}",
                explain(refusal.why, names.actor).line,
            )
            if refusal.case_id in lines
            else RefusedCase(0, "", "", explain(NoSuchCase()).line)
            for refusal in refused
        ]


def _tickets(form: Form) -> list[_Ticket]:
    """The selected cases of a form, each once."""
    tickets: dict[str, _Ticket] = {}
    for text in form.all("case")[: PAGE * 4]:
        case_id, _, version = text.partition(":")
        if version.isascii() and version.isdigit() and len(version) < 10 and 0 < len(case_id) <= 64:
            tickets.setdefault(case_id, _Ticket(case_id, int(version)))
    return [ticket for ticket in tickets.values() if "\0" not in ticket.case_id]


def _has_all_fields(action: str, form: Form) -> bool:
    """Whether the form has all that the action needs; the buttons of the list send less."""
    if action == "snooze":
        return form.ticked("until")
    return form.ticked("reason") if action == "dismiss" else True


def _requested_action(action: str, form: Form, actor: Actor) -> RequestedAction:
    if action == "assign":
        return assignment(form, actor)
    if action == "dismiss":
        return dismissal(form)
    if action == "wake":
        return READERS["wake"](form, actor)
    until = moment_of(form, "until", actor.zone)
    return RequestedAction(Snooze(until), f"to {until.astimezone(actor.zone):%a %d %b, %H:%M}")


def _done_text(
    action: str, changed: list[BulkChanged], requested: RequestedAction, names: MemberNames
) -> str:
    cases_text = f"{len(changed)} {'case' if len(changed) == 1 else 'cases'}"
    if action == "assign" and not isinstance(requested.command, AssignInTeam) and changed:
        return f"Assigned {cases_text} to {names.of(changed[0].case.owner)}."
    if action == "assign":
        return f"Assigned {cases_text} to the least loaded."
    return (
        f"{_DONE_WORDS[action]} {cases_text} {requested.done_text}."
        if action == "snooze"
        else f"{_DONE_WORDS[action]} {cases_text}."
    )


def _undo(
    action: str,
    requested: RequestedAction,
    changed: list[BulkChanged],
    before: dict[str, Case],
    query_string: str,
) -> UndoButton | None:
    """The action that undoes all of it, where a single one can: after a snooze, or when all had one owner."""
    tickets = [f"{result.case_id}:{result.case.version}" for result in changed]
    if action == "snooze":
        return UndoButton(f"/inbox/bulk?{query_string}", {"do": "wake", "case": tickets})
    owners = {before[result.case_id].owner for result in changed if result.case_id in before}
    if action == "assign" and len(owners) == 1 and (owner := owners.pop()):
        return UndoButton(f"/inbox/bulk?{query_string}", {"do": "assign", "owner": owner, "case": tickets})
    return None
