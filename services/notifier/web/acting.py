"""What people do on the page of a case, and the page again when it was not done."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.notifier.cases.casework import REFUSALS, AnotherOpenCase, ChangedMeanwhile, NoSuchCase
from services.notifier.cases.domain.actions import Unexplained, Unfit
from services.notifier.domain.states import Illegal
from services.notifier.inbox.case_page import CaseDesk, Kept, known, no_case
from services.notifier.inbox.forms import READERS, Wish
from services.notifier.inbox.site import AtStore, FormOf, Office
from services.notifier.reading import Shown
from shared.http import Problem
from shared.pages.forms import Form
from shared.pages.notices import Notice, Undo
from shared.pages.people import At

_SHORT_FORMS = ("take", "assign", "wake", "reopen")
"""Those that have nothing typed into them."""


def routes(office: Office) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    desk = CaseDesk(office)
    acting = _Acting(office, desk)

    @router.post("/inbox/{case_id}/watch")
    async def watch(request: Request, at: AtStore, form: FormOf, case_id: str) -> Response:
        watching = form.text("watching") != "no"
        try:
            await office.casework.watch(
                at.store, known(case_id), at.person.who, at.person.email, watching=watching
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
                wish.do,
                version=version,
                traceparent=request.scope.get("closeloop.traceparent", ""),
            )
        except REFUSALS as refusal:
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
        self, request: Request, at: At, case_id: str, kept: Kept, refusal: Exception
    ) -> Response:
        """The page as it is now with what was typed, and a notice that says why nothing was saved."""
        match refusal:
            case Unfit(field=name, why=why):
                kept.form.refuse("until" if name == "until" else "owner", why)
                notice = Notice("danger", why, "Not saved") if kept.action in _SHORT_FORMS else None
                return await self._again(request, at, case_id, kept, 422, notice=notice)
            case Unexplained(missing=missing):
                for name in missing:
                    kept.form.refuse(name, "Needed to close.")
                return await self._again(request, at, case_id, kept, 422)
            case Illegal(status=status):
                text = f"The case is {status} now, which does not allow it. What you typed is still here."
                return await self._again(
                    request, at, case_id, kept, 409, notice=Notice("danger", text, "Not saved")
                )
            case AnotherOpenCase(case_id=other):
                text = "This customer has another case in work. Work on that one."
                notice = Notice("danger", text, "Not opened again")
                return await self._again(request, at, case_id, kept, 409, notice=notice, other=other)
            case ChangedMeanwhile():
                return await self._again(request, at, case_id, kept, 409, refusal=refusal)
            case _:
                raise no_case()

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
