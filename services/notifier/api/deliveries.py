"""Deliveries, and sending a dead one again."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.notifier.api.access import DeliveryId, Reader, Worker, not_found
from services.notifier.api.paging import LARGEST_PAGE, PAGE, cursor_of, link_next, place_of
from services.notifier.api.shapes import DeliveriesOut, DeliveryOut, delivery_out
from services.notifier.domain import Entry
from services.notifier.store import cases, deliveries
from services.notifier.store.deliveries import State
from shared.db import Database
from shared.web import Problem


def routes(database: Database, ring: Callable[[], None]) -> APIRouter:
    router = APIRouter(tags=["deliveries"])

    @router.get("/deliveries", summary="Alerts and how they went, the newest first")
    async def read_deliveries(  # noqa: PLR0917 - the parameters of the address
        request: Request,
        response: Response,
        key: Reader,
        state: Annotated[State | None, Query(description="`dead`: nobody was told")] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
        cursor: Annotated[str | None, Query(max_length=400)] = None,
    ) -> DeliveriesOut:
        place = place_of(cursor, 1)
        before = place[0] if place else None
        async with database.transaction() as session:
            found = await deliveries.page(session, key.store, state, before=before, limit=limit + 1)
        if len(found) > limit:
            link_next(request, response, cursor_of(found[limit - 1].delivery_id))
        return DeliveriesOut(deliveries=[delivery_out(delivery) for delivery in found[:limit]])

    @router.post(
        "/deliveries/{delivery_id}/replay",
        summary="Send a dead delivery again, under the same id",
        status_code=202,
    )
    async def replay(key: Worker, delivery_id: DeliveryId) -> DeliveryOut:
        async with database.transaction() as session:
            state = await deliveries.replay(session, key.store, delivery_id)
            delivery = await deliveries.one(session, key.store, delivery_id)
            if state is None or delivery is None:
                raise not_found("delivery")
            if state is not State.DEAD:
                detail = f"Only a dead delivery can be sent again; this one is {state}."
                raise Problem(409, "not-dead", detail, state=state)
            entry = Entry("delivery_replayed", {"delivery_id": delivery_id, "channel": delivery.channel})
            row = cases.HistoryRow(delivery.case_id, datetime.now(UTC), f"key:{key.key_id}", entry)
            await cases.add_history(session, [row])
        ring()
        return delivery_out(delivery)

    return router
