"""Sending a dead alert again from the case's page."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.notifier.cases.domain.case import Entry
from services.notifier.cases.store import writing
from services.notifier.cases.store.writing import Added
from services.notifier.deliveries import store
from services.notifier.deliveries.store import State
from services.notifier.inbox.case_page import CaseDesk, known
from services.notifier.inbox.site import AtStore, FormOf, Office
from services.notifier.store.trail import HistoryRow
from shared.http import Problem
from shared.pages.notices import Notice


def routes(office: Office) -> APIRouter:
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
                entry = Entry("delivery_replayed", {"delivery_id": delivery_id, "channel": delivery.channel})
                row = HistoryRow(delivery.case_id, office.now(), at.person.who, entry)
                await writing.add(session, Added(history=[row]))
        office.ring()
        done = Notice("ok", f"The alert to {delivery.channel} is being sent again.")
        late = Notice("info", f"The alert to {delivery.channel} is not dead any more.")
        return office.pages.go(
            request, desk.address(request, at, case_id), done if state is State.DEAD else late
        )

    return router
