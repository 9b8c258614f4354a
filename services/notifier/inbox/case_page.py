"""The page of a case: showing it, the actions of its forms, and sending a dead alert again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.notifier.cases.casework import CaseDetails
from services.notifier.cases.domain.actions import Watch
from services.notifier.cases.domain.case import Refusal
from services.notifier.cases.recording import record_replays
from services.notifier.cases.refusals import AnotherOpenCase, ChangedMeanwhile, NoSuchCase, explain
from services.notifier.cases.store.search import Place
from services.notifier.deliveries import store as deliveries
from services.notifier.deliveries.store import State
from services.notifier.inbox import store
from services.notifier.inbox.case_view import CaseView
from services.notifier.inbox.forms import READERS, RequestedAction
from services.notifier.inbox.history import CaseHistory
from services.notifier.inbox.search import place_of, place_text, query_of_address
from services.notifier.inbox.site import COUNTED, AtStore, FormOf, InboxSite, shown_count
from shared.db import Session
from shared.http import Problem
from shared.pages.forms import Form
from shared.pages.notices import FlashMessage, UndoButton
from shared.pages.people import PersonAtStore


@dataclass(frozen=True, slots=True)
class RefusedForm:
    """A form that was refused: what was typed into it, and what is wrong with it."""

    action: str = ""
    form: Form = field(default_factory=lambda: Form({}))

    def get(self, action: str, name: str, otherwise: str = "") -> str:
        """The text of a field of this action's form, as it was typed; `otherwise` for any other form."""
        return self.form.raw(name) if action == self.action else otherwise

    def errors(self, action: str) -> dict[str, str]:
        return self.form.errors if action == self.action else {}


@dataclass(frozen=True, slots=True)
class NeighbourLinks:
    """The neighbours of a case in the list that the person came from; an empty address at an end of it."""

    previous: str = ""
    next: str = ""
    position: str = ""
    total: str = ""


def routes(site: InboxSite) -> APIRouter:
    """Showing a case."""
    router = APIRouter(include_in_schema=False)
    page = CasePage(site)

    @router.get("/inbox/{case_id}")
    async def show(request: Request, at: AtStore, case_id: str) -> Response:
        try:
            shown = await site.casework.show(at.store, checked_id(case_id))
        except NoSuchCase:
            return await page.redirect_to_store(request, at, case_id)
        return await page.show(request, at, shown)

    return router


def checked_id(case_id: str) -> str:
    """The id of an address, if it has the form of one. Raises Problem 404."""
    if not case_id.isascii() or len(case_id) > 64 or not set(case_id) <= set("0123456789abcdef-"):
        raise no_case()
    return case_id


def no_case() -> Problem:
    return Problem(404, "not-found", explain(NoSuchCase()).detail)


class CasePage:
    """Makes the page of a case, within the list that the person came from."""

    def __init__(self, site: InboxSite) -> None:
        self._site = site

    def address(self, request: Request, at: PersonAtStore, case_id: str) -> str:
        """The address of the page of a case, with the list that the person came from."""
        query_string = self.query_string(request, at)
        return f"/inbox/{case_id}" + (f"?{query_string}" if query_string else "")

    async def redirect_to_store(self, request: Request, at: PersonAtStore, case_id: str) -> Response:
        """To the case in another store of the person, for a link of an alert, which names no store.

        Raises Problem 404 when none of them has the case.
        """
        others = set(at.person.stores) - {at.store} if "store" not in request.query_params else set()
        async with self._site.database.snapshot() as session:
            store_of_case = await store.store_among(session, case_id, others) if others else None
        if store_of_case is None:
            raise no_case()
        return RedirectResponse(f"/inbox/{case_id}?store={store_of_case}", 303)

    async def show(
        self,
        request: Request,
        at: PersonAtStore,
        shown: CaseDetails,
        *,
        refused_form: RefusedForm | None = None,
        status: int = 200,
        notice: FlashMessage | None = None,
        refusal: ChangedMeanwhile | None = None,
        other_case: str = "",
    ) -> Response:
        """The page; with `refused_form` what was typed into it, with `refusal` what changed meanwhile.

        `other_case`: the id of the customer's case that keeps this one from being opened again.
        """
        site = self._site
        names, zone, now = site.names(at.store), site.zone(at.store), site.now()
        history = CaseHistory(shown, names, site.channels(at.store), now, zone)
        query = query_of_address(request.query_params)
        async with site.database.snapshot() as session:
            await store.plan_each_query(session)
            await site.count_overdue(session, at.store)
            open_cases = await store.open_cases_by_owner(
                session, at.store, [m.email for m in names.members], most=100
            )
            neighbours = await self._neighbours(session, request, at)
            as_of = await store.database_clock(session)
        case_view = CaseView(site, at, shown, history, now)
        notices: dict[str, Any] = {"notices": [notice]} if notice else {}
        return site.pages.html(
            request,
            "case.html",
            status,
            case_view=case_view,
            case=shown.case,
            query=query,
            neighbours=neighbours,
            query_string=self.query_string(request, at),
            list_query_string=site.query_string(at, query),
            open_cases={email: "99+" if n >= 100 else str(n) for email, n in open_cases.items()},
            refused_form=refused_form or RefusedForm(),
            reply=shown.replies.get(request.query_params.get("reply", ""), ""),
            replying="reply" in request.query_params,
            open_form=(refused_form.action if refused_form else "") or _form_to_open(request),
            changed=_changed_meanwhile(refusal, history, case_view, now) if refusal else None,
            other_case=other_case,
            as_of=as_of,
            zone=zone.key,
            **notices,
        )

    async def _neighbours(self, session: Session, request: Request, at: PersonAtStore) -> NeighbourLinks:
        """Empty links for a person who did not come from a list."""
        place = place_of(request.query_params.get("at", ""))
        if place is None:
            return NeighbourLinks()
        site, query = self._site, query_of_address(request.query_params)
        cases = site.filter(at, query)
        neighbours = await store.neighbours(session, at.store, cases, place, most=COUNTED)
        total = 0
        if not query.q:
            [total] = await store.count_each(session, at.store, [cases], most=COUNTED)

        def address(neighbour: tuple[str, Place] | None) -> str:
            if neighbour is None:
                return ""
            case_id, its_place = neighbour
            return f"/inbox/{case_id}?{site.query_string(at, query, at=place_text(its_place))}"

        return NeighbourLinks(
            address(neighbours.previous),
            address(neighbours.next),
            shown_count(neighbours.position),
            shown_count(total) if total >= neighbours.position else "",
        )

    def query_string(self, request: Request, at: PersonAtStore) -> str:
        """What the address of a case says of its store, and of the list that the person came from."""
        query, place = query_of_address(request.query_params), place_of(request.query_params.get("at", ""))
        if place is None and query.view == "open" and not query.narrowed:
            return f"store={at.store}"
        fields = {"at": place_text(place)} if place else {}
        return query.query_string(at.store, **fields)


def _form_to_open(request: Request) -> str:
    """The action whose form an address opens, by a key of the list or a template of a reply; "" for none."""
    if "reply" in request.query_params:
        return "contact"
    action = request.query_params.get("do", "")
    return action if action in READERS else ""


@dataclass(frozen=True, slots=True)
class ChangesShown:
    """Who changed the case meanwhile, when, and what they did, in sentences."""

    who: str
    at: datetime
    sentences: list[str]


def _changed_meanwhile(
    refusal: ChangedMeanwhile, history: CaseHistory, case_view: CaseView, now: datetime
) -> ChangesShown:
    entries = refusal.entries
    others = list(dict.fromkeys(case_view.names.actor(row.who) for row in entries)) or ["Somebody"]
    last = max((row.at for row in entries), default=now)
    return ChangesShown(" and ".join(others), last, history.sentences(entries))


_SHORT_FORMS = ("take", "assign", "wake", "reopen")
"""The actions whose forms have no field to type into."""


def action_routes(site: InboxSite) -> APIRouter:
    """Watching a case, and the actions of its forms."""
    router = APIRouter(include_in_schema=False)
    page = CasePage(site)
    actions = _CaseActions(site, page)

    @router.post("/inbox/{case_id}/watch")
    async def watch(request: Request, at: AtStore, form: FormOf, case_id: str) -> Response:
        watching = form.text("watching") != "no"
        try:
            await site.casework.watch(
                at.store, checked_id(case_id), at.person.who, Watch(at.person.email, watching=watching)
            )
        except NoSuchCase:
            raise no_case() from None
        text = "You watch this case." if watching else "You do not watch this case any more."
        return site.pages.go(request, page.address(request, at, case_id), FlashMessage("ok", text))

    @router.post("/inbox/{case_id}/{action}")
    async def act(request: Request, at: AtStore, form: FormOf, case_id: str, action: str) -> Response:
        if action not in READERS:
            raise Problem(404, "not-found", "There is nothing at this address.")
        return await actions.act(request, at, form, checked_id(case_id), action)

    return router


class _CaseActions:
    """Does what a form of the page asks for; a form that is refused is shown again as it was typed."""

    def __init__(self, site: InboxSite, page: CasePage) -> None:
        self._site = site
        self._page = page

    async def act(
        self, request: Request, at: PersonAtStore, form: Form, case_id: str, action: str
    ) -> Response:
        site = self._site
        version = form.whole("version", least=1, most=2**31 - 1)
        if version is None:
            raise Problem(422, "invalid", "The form does not say which version of the case it is about.")
        requested = READERS[action](form, site.actor(at))
        if form.errors:
            # Where there is no field, the sentence that would stand below it is a notice.
            why = next(iter(form.errors.values()))
            notice = FlashMessage("danger", why, "Not saved") if action in _SHORT_FORMS else None
            return await self._page_again(request, at, case_id, RefusedForm(action, form), 422, notice=notice)
        try:
            before = await site.casework.show(at.store, case_id)
            shown = await site.casework.act(
                at.store,
                case_id,
                at.person.who,
                requested.command,
                version=version,
                traceparent=request.scope.get("closeloop.traceparent", ""),
            )
        except Refusal as refusal:
            return await self._refused(request, at, case_id, RefusedForm(action, form), refusal)
        notice = self._notice(request, at, action, requested, before=before, after=shown)
        return site.pages.go(request, self._page.address(request, at, case_id), notice)

    def _notice(
        self,
        request: Request,
        at: PersonAtStore,
        action: str,
        requested: RequestedAction,
        *,
        before: CaseDetails,
        after: CaseDetails,
    ) -> FlashMessage:
        """What was done, with the action that undoes it where a single one does."""
        text, undo = requested.done_text, None
        query_string, case = self._page.query_string(request, at), after.case
        version = {"version": str(case.version)}
        if action in ("assign", "take"):
            text = (
                "It is yours."
                if case.owner == at.person.email
                else f"Assigned to {self._site.names(at.store).of(case.owner)}."
            )
            if before.case.owner and before.case.owner != case.owner:
                undo = UndoButton(
                    f"/inbox/{case.case_id}/assign?{query_string}", version | {"owner": before.case.owner}
                )
        if action == "snooze":
            undo = UndoButton(f"/inbox/{case.case_id}/wake?{query_string}", version)
        return FlashMessage("ok", text, undo=undo)

    async def _refused(
        self, request: Request, at: PersonAtStore, case_id: str, refused_form: RefusedForm, refusal: Refusal
    ) -> Response:
        """The page as it is now with what was typed, and why nothing was saved. Raises Problem 404."""
        if isinstance(refusal, NoSuchCase):
            raise no_case()
        explained = explain(refusal)
        for name, why in explained.fields.items():
            refused_form.form.refuse(name, why)
        notice = None
        if explained.page and (not explained.fields or refused_form.action in _SHORT_FORMS):
            title = "Not opened again" if isinstance(refusal, AnotherOpenCase) else "Not saved"
            notice = FlashMessage("danger", explained.page, title)
        return await self._page_again(
            request,
            at,
            case_id,
            refused_form,
            explained.status,
            notice=notice,
            refusal=refusal if isinstance(refusal, ChangedMeanwhile) else None,
            other_case=refusal.case_id if isinstance(refusal, AnotherOpenCase) else "",
        )

    async def _page_again(
        self,
        request: Request,
        at: PersonAtStore,
        case_id: str,
        refused_form: RefusedForm,
        status: int,
        *,
        notice: FlashMessage | None = None,
        refusal: ChangedMeanwhile | None = None,
        other_case: str = "",
    ) -> Response:
        """The page of the case as it is now. Raises Problem 404."""
        try:
            shown = await self._site.casework.show(at.store, case_id)
        except NoSuchCase:
            raise no_case() from None
        return await self._page.show(
            request,
            at,
            shown,
            refused_form=refused_form,
            status=status,
            notice=notice,
            refusal=refusal,
            other_case=other_case,
        )


def replay_routes(site: InboxSite) -> APIRouter:
    """Sending a dead alert of a case again."""
    router = APIRouter(include_in_schema=False)
    page = CasePage(site)

    @router.post("/inbox/{case_id}/replay")
    async def replay(request: Request, at: AtStore, form: FormOf, case_id: str) -> Response:
        delivery_id = form.text("delivery", longest=64)
        async with site.database.transaction() as session:
            delivery = await deliveries.one(session, at.store, delivery_id)
            if delivery is None or delivery.case_id != checked_id(case_id):
                raise Problem(404, "not-found", "There is no such alert of this case.")
            state = await deliveries.replay(session, at.store, delivery_id)
            if state is State.DEAD:
                await record_replays(session, [delivery], at.person.who, at=site.now())
        site.ring()
        notice = (
            FlashMessage("ok", f"The alert to {delivery.channel} is being sent again.")
            if state is State.DEAD
            else FlashMessage("info", f"The alert to {delivery.channel} is not dead any more.")
        )
        return site.pages.go(request, page.address(request, at, case_id), notice)

    return router
