"""The page of a case."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.notifier.cases.casework import Shown
from services.notifier.cases.domain.actions import Watch
from services.notifier.cases.domain.case import Refusal
from services.notifier.cases.recording import record_replays
from services.notifier.cases.refusals import AnotherOpenCase, ChangedMeanwhile, NoSuchCase, explain
from services.notifier.deliveries import store
from services.notifier.deliveries.store import State
from services.notifier.inbox import store as inbox
from services.notifier.inbox.case_view import Folder
from services.notifier.inbox.forms import READERS, Wish
from services.notifier.inbox.history import Teller
from services.notifier.inbox.search import asked_of, place_of, place_text
from services.notifier.inbox.site import COUNTED, AtStore, FormOf, Office, shown_count
from shared.http import Problem
from shared.pages.forms import Form
from shared.pages.notices import Notice, Undo
from shared.pages.people import At


@dataclass(frozen=True, slots=True)
class Kept:
    """What was typed into a form that was not taken, and what is wrong with it."""

    action: str = ""
    form: Form = field(default_factory=lambda: Form({}))

    def get(self, action: str, name: str, otherwise: str = "") -> str:
        """What stands in a field; text is shown as it was typed."""
        return self.form.raw(name) if action == self.action else otherwise

    def errors(self, action: str) -> dict[str, str]:
        return self.form.errors if action == self.action else {}


@dataclass(frozen=True, slots=True)
class Beside:
    """The neighbours in the list that the person came from; empty addresses at its ends."""

    before: str = ""
    after: str = ""
    position: str = ""
    of: str = ""


def routes(office: Office) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    desk = CaseDesk(office)

    @router.get("/inbox/{case_id}")
    async def show(request: Request, at: AtStore, case_id: str) -> Response:
        try:
            shown = await office.casework.show(at.store, known(case_id))
        except NoSuchCase:
            return await desk.elsewhere(request, at, case_id)
        return await desk.page(request, at, shown)

    return router


def known(case_id: str) -> str:
    """An id that may be one. Raises Problem 404."""
    if not case_id.isascii() or len(case_id) > 64 or not set(case_id) <= set("0123456789abcdef-"):
        raise no_case()
    return case_id


def no_case() -> Problem:
    return Problem(404, "not-found", explain(NoSuchCase()).detail)


class CaseDesk:
    def __init__(self, office: Office) -> None:
        self._office = office

    def address(self, request: Request, at: At, case_id: str) -> str:
        """The page of a case within the list that the person came from."""
        query = self.query(request, at)
        return f"/inbox/{case_id}" + (f"?{query}" if query else "")

    async def elsewhere(self, request: Request, at: At, case_id: str) -> Response:
        """A link of an alert names no store: the case may be in another one of theirs. Raises Problem 404."""
        others = set(at.person.stores) - {at.store} if "store" not in request.query_params else set()
        async with self._office.database.snapshot() as session:
            store = await inbox.store_among(session, case_id, others) if others else None
        if store is None:
            raise no_case()
        return RedirectResponse(f"/inbox/{case_id}?store={store}", 303)

    async def page(
        self,
        request: Request,
        at: At,
        shown: Shown,
        *,
        kept: Kept | None = None,
        status: int = 200,
        notice: Notice | None = None,
        refusal: ChangedMeanwhile | None = None,
        other: str = "",
    ) -> Response:
        office = self._office
        names, zone, now = office.names(at.store), office.zone(at.store), office.now()
        teller = Teller(shown, names, office.channels(at.store), now, zone)
        asked = asked_of(request.query_params)
        async with office.database.snapshot() as session:
            await inbox.plan_each(session)
            await office.count_overdue(session, at.store)
            loads = await inbox.loads(session, at.store, [m.email for m in names.members], most=100)
            beside = await self._beside(session, request, at)
            since = await inbox.clock(session)
        folder = Folder(office, at, shown, teller, now)
        given: dict[str, Any] = {"notices": [notice]} if notice else {}
        return office.pages.html(
            request,
            "case.html",
            status,
            folder=folder,
            case=shown.case,
            asked=asked,
            beside=beside,
            query=self.query(request, at),
            list_query=office.query(at, asked),
            loads={email: "99+" if n >= 100 else str(n) for email, n in loads.items()},
            kept=kept or Kept(),
            reply=shown.replies.get(request.query_params.get("reply", ""), ""),
            replying="reply" in request.query_params,
            opened=(kept.action if kept else "") or _wanted(request),
            changed=_changed(refusal, teller, folder, now) if refusal else None,
            other=other,
            as_of=since,
            zone=zone.key,
            **given,
        )

    async def _beside(self, session: Any, request: Request, at: At) -> Beside:
        """Nothing for who did not come from a list."""
        place = place_of(request.query_params.get("at", ""))
        if place is None:
            return Beside()
        office, asked = self._office, asked_of(request.query_params)
        wanted = office.filter(at, asked)
        found = await inbox.beside(session, at.store, wanted, place, most=COUNTED)
        total = 0
        if not asked.q:
            [total] = await inbox.counts(session, at.store, [wanted], most=COUNTED)

        def address(side: tuple[str, Any] | None) -> str:
            if side is None:
                return ""
            case_id, there = side
            return f"/inbox/{case_id}?{office.query(at, asked, at=place_text(there))}"

        return Beside(
            address(found.before),
            address(found.after),
            shown_count(found.position),
            shown_count(total) if total >= found.position else "",
        )

    def query(self, request: Request, at: At) -> str:
        """The store, and the list that the person came from with the place in it."""
        asked, place = asked_of(request.query_params), place_of(request.query_params.get("at", ""))
        if place is None and asked.view == "open" and not asked.narrowed:
            return f"store={at.store}"
        there = {"at": place_text(place)} if place else {}
        return asked.query(at.store, **there)


def _wanted(request: Request) -> str:
    """The form that an address opens: the list's key for resolving, or a template of a reply."""
    if "reply" in request.query_params:
        return "contact"
    wanted = request.query_params.get("do", "")
    return wanted if wanted in READERS else ""


@dataclass(frozen=True, slots=True)
class ChangedShown:
    """Who changed the case meanwhile, when, and what they did."""

    who: str
    at: datetime
    what: list[str]


def _changed(refusal: ChangedMeanwhile, teller: Teller, folder: Folder, now: datetime) -> ChangedShown:
    entries = refusal.entries
    others = list(dict.fromkeys(folder.names.actor(row.who) for row in entries)) or ["Somebody"]
    last = max((row.at for row in entries), default=now)
    return ChangedShown(" and ".join(others), last, teller.sentences(entries))


# What people do on the page of a case, and the page again when it was not done.

_SHORT_FORMS = ("take", "assign", "wake", "reopen")
"""Those that have nothing typed into them."""


def action_routes(office: Office) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    desk = CaseDesk(office)
    acting = _Acting(office, desk)

    @router.post("/inbox/{case_id}/watch")
    async def watch(request: Request, at: AtStore, form: FormOf, case_id: str) -> Response:
        watching = form.text("watching") != "no"
        try:
            await office.casework.watch(
                at.store, known(case_id), at.person.who, Watch(at.person.email, watching=watching)
            )
        except NoSuchCase:
            raise no_case() from None
        said = "You watch this case." if watching else "You do not watch this case any more."
        return office.pages.go(request, desk.address(request, at, case_id), Notice("ok", said))

    @router.post("/inbox/{case_id}/{action}")
    async def act(request: Request, at: AtStore, form: FormOf, case_id: str, action: str) -> Response:
        if action not in READERS:
            raise Problem(404, "not-found", "There is nothing at this address.")
        return await acting.act(request, at, form, known(case_id), action)

    return router


class _Acting:
    def __init__(self, office: Office, desk: CaseDesk) -> None:
        self._office = office
        self._desk = desk

    async def act(self, request: Request, at: At, form: Form, case_id: str, action: str) -> Response:
        office = self._office
        version = form.whole("version", least=1, most=2**31 - 1)
        if version is None:
            raise Problem(422, "invalid", "The form does not say which version of the case it is about.")
        wish = READERS[action](form, office.asker(at))
        if form.errors:
            return await self._again(request, at, case_id, Kept(action, form), 422)
        try:
            before = await office.casework.show(at.store, case_id)
            shown = await office.casework.act(
                at.store,
                case_id,
                at.person.who,
                wish.command,
                version=version,
                traceparent=request.scope.get("closeloop.traceparent", ""),
            )
        except Refusal as refusal:
            return await self._refused(request, at, case_id, Kept(action, form), refusal)
        notice = self._notice(request, at, action, wish, before=before, after=shown)
        return office.pages.go(request, self._desk.address(request, at, case_id), notice)

    def _notice(
        self, request: Request, at: At, action: str, wish: Wish, *, before: Shown, after: Shown
    ) -> Notice:
        """What was done, with what takes it back where one action does."""
        said, undo = wish.said, None
        query, case = self._desk.query(request, at), after.case
        base = {"version": str(case.version)}
        if action in ("assign", "take"):
            said = (
                "It is yours."
                if case.owner == at.person.email
                else f"Assigned to {self._office.names(at.store).of(case.owner)}."
            )
            if before.case.owner and before.case.owner != case.owner:
                undo = Undo(f"/inbox/{case.case_id}/assign?{query}", base | {"owner": before.case.owner})
        if action == "snooze":
            undo = Undo(f"/inbox/{case.case_id}/wake?{query}", base)
        return Notice("ok", said, undo=undo)

    async def _refused(
        self, request: Request, at: At, case_id: str, kept: Kept, refusal: Refusal
    ) -> Response:
        """The page as it is now with what was typed, and a notice that says why nothing was saved."""
        if isinstance(refusal, NoSuchCase):
            raise no_case()
        explained = explain(refusal)
        for name, why in explained.fields.items():
            kept.form.refuse(name, why)
        notice = None
        if explained.page and (not explained.fields or kept.action in _SHORT_FORMS):
            title = "Not opened again" if isinstance(refusal, AnotherOpenCase) else "Not saved"
            notice = Notice("danger", explained.page, title)
        return await self._again(
            request,
            at,
            case_id,
            kept,
            explained.status,
            notice=notice,
            refusal=refusal if isinstance(refusal, ChangedMeanwhile) else None,
            other=refusal.case_id if isinstance(refusal, AnotherOpenCase) else "",
        )

    async def _again(
        self,
        request: Request,
        at: At,
        case_id: str,
        kept: Kept,
        status: int,
        *,
        notice: Notice | None = None,
        refusal: ChangedMeanwhile | None = None,
        other: str = "",
    ) -> Response:
        try:
            shown = await self._office.casework.show(at.store, case_id)
        except NoSuchCase:
            raise no_case() from None
        return await self._desk.page(
            request, at, shown, kept=kept, status=status, notice=notice, refusal=refusal, other=other
        )


# Sending a dead alert again from the case's page.


def replay_routes(office: Office) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    desk = CaseDesk(office)

    @router.post("/inbox/{case_id}/replay")
    async def replay(request: Request, at: AtStore, form: FormOf, case_id: str) -> Response:
        delivery_id = form.text("delivery", longest=64)
        async with office.database.transaction() as session:
            delivery = await store.one(session, at.store, delivery_id)
            if delivery is None or delivery.case_id != known(case_id):
                raise Problem(404, "not-found", "There is no such alert of this case.")
            state = await store.replay(session, at.store, delivery_id)
            if state is State.DEAD:
                await record_replays(session, [delivery], at.person.who, at=office.now())
        office.ring()
        done = Notice("ok", f"The alert to {delivery.channel} is being sent again.")
        late = Notice("info", f"The alert to {delivery.channel} is not dead any more.")
        return office.pages.go(
            request, desk.address(request, at, case_id), done if state is State.DEAD else late
        )

    return router
