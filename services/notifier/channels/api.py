"""The API of deliveries and channels: how alerts went, sending dead ones again, and testing a channel."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.notifier.cases.api.access import Reader, Worker, not_found
from services.notifier.cases.recording import record_replays
from services.notifier.deliveries import notices, store
from services.notifier.deliveries.api import DeliveriesOut, DeliveryId, DeliveryOut, delivery_out
from services.notifier.deliveries.settings import Channel, ChannelKind, StoreChannels
from services.notifier.deliveries.store import ChannelHealth, State
from shared.db import Database
from shared.events.envelope import new_traceparent
from shared.http import Problem, json_body, request_body
from shared.http.paging import LARGEST_PAGE, PAGE, cursor_of, link_next, place_of
from shared.http.problems import not_one_of

REPLAYED_AT_ONCE = 1000


class Replay(BaseModel):
    """Which deliveries to send again."""

    model_config = ConfigDict(extra="forbid")

    channel: str | None = Field(None, max_length=64, description="Only those of this channel")
    state: Literal["dead"] = Field("dead", description="What can be sent again")


class ReplayedOut(BaseModel):
    replayed: int
    more: bool = Field(description="There may be more: ask again")


def routes(database: Database, ring: Callable[[], None], channels: StoreChannels) -> APIRouter:
    """`/v1/deliveries` and `/v1/channels`. `ring` wakes whoever sends what was committed."""
    router = APIRouter(prefix="/v1")
    router.include_router(_delivery_routes(database, ring, channels))
    router.include_router(_channel_routes(database, ring, channels))
    return router


def _delivery_routes(database: Database, ring: Callable[[], None], channels: StoreChannels) -> APIRouter:
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
            deliveries = await store.page(session, key.store, state, before=before, limit=limit + 1)
        if len(deliveries) > limit:
            link_next(request, response, cursor_of(deliveries[limit - 1].delivery_id))
        return DeliveriesOut(deliveries=[delivery_out(delivery) for delivery in deliveries[:limit]])

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
            await record_replays(session, [delivery], f"key:{key.key_id}", at=datetime.now(UTC))
        ring()
        return delivery_out(delivery)

    @router.post(
        "/deliveries:replay",
        summary="Send the dead deliveries of a channel again, each under its own id",
        status_code=202,
        openapi_extra=request_body(Replay, {"channel": "slack", "state": "dead"}),
    )
    async def replay_all(key: Worker, body: Annotated[Replay, Depends(json_body(Replay))]) -> ReplayedOut:
        if body.channel is not None and body.channel not in (names := channels.get(key.store, {})):
            raise not_one_of(names, "channel", "/channel")
        async with database.transaction() as session:
            dead = await store.replay_dead(session, key.store, body.channel, most=REPLAYED_AT_ONCE)
            await record_replays(session, dead, f"key:{key.key_id}", at=datetime.now(UTC))
        ring()
        return ReplayedOut(replayed=len(dead), more=len(dead) == REPLAYED_AT_ONCE)

    return router


class ChannelState(StrEnum):
    HEALTHY = "healthy"
    RETRYING = "retrying"
    PAUSED = "paused"
    OFF = "off"


class ChannelOut(BaseModel):
    """A channel of the store. Its address is shown without what is secret in it."""

    name: str
    kind: ChannelKind
    goes_to: str = Field(description="The host of a webhook, or how many addresses get the e-mail")
    state: ChannelState = Field(
        description="retrying: deliveries failed and wait for their next try; paused: its receiver failed "
        "again and again, or asked for a rest; off: it has no address"
    )
    paused_until: datetime | None
    sent: int = Field(description="In the last 24 hours")
    failed: int = Field(description="Given up in the last 24 hours")
    waiting: int = Field(description="Not sent yet: due, put off, or tried again later")
    quiet_hours: str | None
    digest_after: int = Field(
        description="Alerts in ten minutes that come singly, of verified customers and of "
        "claimed ones each; 0: all of them"
    )


class ChannelsOut(BaseModel):
    channels: list[ChannelOut]


Name = Annotated[str, Path(max_length=64, pattern="^[a-z0-9][a-z0-9_-]*$", examples=["slack"])]


def _channel_routes(database: Database, ring: Callable[[], None], channels: StoreChannels) -> APIRouter:
    router = APIRouter(tags=["channels"])

    @router.get("/channels", summary="The channels of the store and how they are doing")
    async def read_channels(key: Reader) -> ChannelsOut:
        store_channels = channels.get(key.store, {})
        async with database.transaction() as session:
            health = await store.channel_health(session, key.store, list(store_channels))
        return ChannelsOut(
            channels=[channel_out(name, channel, health[name]) for name, channel in store_channels.items()]
        )

    @router.post("/channels/{name}/test", summary="Send a test notice through the channel", status_code=202)
    async def send_test(key: Worker, name: Name) -> DeliveryOut:
        channel = channels.get(key.store, {}).get(name)
        if channel is None:
            raise not_found("channel")
        if not channel.on:
            raise Problem(409, "channel-off", "The channel is off: closeloop.yaml gives it no address.")
        notice = notices.trial(key.store, name, f"key:{key.key_id}")
        async with database.transaction() as session:
            await notices.add(session, notice, [name], traceparent=new_traceparent())
            [delivery] = await store.of_notice(session, notice.notice_id)
        ring()
        return delivery_out(delivery)

    return router


def channel_out(name: str, channel: Channel, health: ChannelHealth) -> ChannelOut:
    hours = channel.quiet_hours
    return ChannelOut(
        name=name,
        kind=channel.kind,
        goes_to=_goes_to(channel),
        state=_state(channel, health),
        paused_until=health.paused_until if channel.on else None,
        sent=health.sent,
        failed=health.failed,
        waiting=health.waiting,
        quiet_hours=f"{hours.start:%H:%M}-{hours.end:%H:%M}" if hours else None,
        digest_after=channel.single_alerts,
    )


def _state(channel: Channel, health: ChannelHealth) -> ChannelState:
    if not channel.on:
        return ChannelState.OFF
    if health.paused_until:
        return ChannelState.PAUSED
    return ChannelState.RETRYING if health.retrying else ChannelState.HEALTHY


def _goes_to(channel: Channel) -> str:
    if channel.kind is not ChannelKind.EMAIL:
        return urlsplit(channel.url).hostname or ""
    count = len(channel.mailboxes)
    parts = [f"{count} address{'es' if count != 1 else ''}"] if count else []
    return " and ".join([*parts, *(["the owner"] if channel.to_owner else [])])
