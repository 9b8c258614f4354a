"""Sending a dead alert again from the case's page."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.notifier.domain import Entry
from services.notifier.store import adding, deliveries
from services.notifier.store.adding import Added
from services.notifier.store.deliveries import State
from services.notifier.store.trail import HistoryRow
from services.notifier.web.case import CaseDesk, known
from services.notifier.web.office import AtStore, FormOf, Office
from shared.http import Problem
from shared.pages.notices import Notice


def routes(office: Office) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    desk = CaseDesk(office)

    @router.post("/inbox/{case_id}/replay")
    async def replay(request: Request, at: AtStore, form: FormOf, case_id: str) -> Response:
        delivery_id = form.text("delivery", longest=64)
        async with office.database.transaction() as session:
            delivery = await deliveries.one(session, at.store, delivery_id)
            if delivery is None or delivery.case_id != known(case_id):
                raise Problem(404, "not-found", "There is no such alert of this case.")
            state = await deliveries.replay(session, at.store, delivery_id)
            if state is State.DEAD:
                entry = Entry("delivery_replayed", {"delivery_id": delivery_id, "channel": delivery.channel})
                row = HistoryRow(delivery.case_id, office.now(), at.person.who, entry)
                await adding.add(session, Added(history=[row]))
        office.ring()
        done = Notice("ok", f"The alert to {delivery.channel} is being sent again.")
        late = Notice("info", f"The alert to {delivery.channel} is not dead any more.")
        return office.pages.go(
            request, desk.address(request, at, case_id), done if state is State.DEAD else late
        )

    return router
