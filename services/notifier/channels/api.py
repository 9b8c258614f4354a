"""Deliveries, and sending dead ones again."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.notifier.api.delivery_shapes import DeliveriesOut, DeliveryOut, delivery_out
from services.notifier.api.paging import LARGEST_PAGE, PAGE, cursor_of, link_next, place_of
from services.notifier.cases.api.access import DeliveryId, Reader, Worker, not_found
from services.notifier.cases.domain.case import Entry
from services.notifier.cases.store import writing
from services.notifier.cases.store.writing import Added
from services.notifier.deliveries import store
from services.notifier.deliveries.store import Delivery, State
from services.notifier.store import trail
from shared.db import Database, Session
from shared.http import Problem, json_body, request_body

REPLAYED_AT_ONCE = 1000


class Replay(BaseModel):
    """Which deliveries to send again."""

    model_config = ConfigDict(extra="forbid")

    channel: str | None = Field(None, max_length=64, description="Only those of this channel")
    state: Literal["dead"] = Field("dead", description="What can be sent again")


class ReplayedOut(BaseModel):
    replayed: int
    more: bool = Field(description="There may be more: ask again")


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
            found = await store.page(session, key.store, state, before=before, limit=limit + 1)
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
            state = await store.replay(session, key.store, delivery_id)
            delivery = await store.one(session, key.store, delivery_id)
            if state is None or delivery is None:
                raise not_found("delivery")
            if state is not State.DEAD:
                detail = f"Only a dead delivery can be sent again; this one is {state}."
                raise Problem(409, "not-dead", detail, state=state)
            await _note(session, [delivery], f"key:{key.key_id}")
        ring()
        return delivery_out(delivery)

    @router.post(
        "/deliveries:replay",
        summary="Send the dead deliveries of a channel again, each under its own id",
        status_code=202,
        openapi_extra=request_body(Replay, {"channel": "slack", "state": "dead"}),
    )
    async def replay_all(key: Worker, what: Annotated[Replay, Depends(json_body(Replay))]) -> ReplayedOut:
        async with database.transaction() as session:
            dead = await store.replay_dead(session, key.store, what.channel, most=REPLAYED_AT_ONCE)
            await _note(session, dead, f"key:{key.key_id}")
        ring()
        return ReplayedOut(replayed=len(dead), more=len(dead) == REPLAYED_AT_ONCE)

    return router


async def _note(session: Session, replayed: list[Delivery], who: str) -> None:
    """Say in the history of each case who sent its alert again."""
    now = datetime.now(UTC)
    rows = [
        trail.HistoryRow(
            one.case_id,
            now,
            who,
            Entry("delivery_replayed", {"delivery_id": one.delivery_id, "channel": one.channel}),
        )
        for one in replayed
        if one.case_id
    ]
    await writing.add(session, Added(history=rows))
