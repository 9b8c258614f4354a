"""Where alerts go, how each channel is doing, and a test of it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from services.notifier.api.delivery_shapes import DeliveryOut, delivery_out
from services.notifier.cases.api.access import Reader, Worker, not_found
from services.notifier.deliveries import notices, store
from services.notifier.deliveries.settings import Channel, Kind
from services.notifier.settings import Alerts
from services.notifier.store import channels
from services.notifier.store.channels import Doing
from shared.db import Database
from shared.events.envelope import new_traceparent
from shared.http import Problem


class ChannelState(StrEnum):
    HEALTHY = "healthy"
    RETRYING = "retrying"
    PAUSED = "paused"
    OFF = "off"


class ChannelOut(BaseModel):
    """A channel of the store. Its address is shown without what is secret in it."""

    name: str
    kind: Kind
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
    digest_after: int = Field(description="Alerts in ten minutes that come singly; 0: all of them")


class ChannelsOut(BaseModel):
    channels: list[ChannelOut]


Name = Annotated[str, Path(max_length=64, pattern="^[a-z0-9][a-z0-9_-]*$", examples=["slack"])]


def routes(database: Database, ring: Callable[[], None], alerts: Mapping[str, Alerts]) -> APIRouter:
    router = APIRouter(tags=["channels"])

    @router.get("/channels", summary="The channels of the store and how they are doing")
    async def read_channels(key: Reader) -> ChannelsOut:
        known = alerts[key.store].channels if key.store in alerts else {}
        async with database.transaction() as session:
            doing = await channels.doing(session, key.store, list(known))
        return ChannelsOut(channels=[channel_out(name, one, doing[name]) for name, one in known.items()])

    @router.post("/channels/{name}/test", summary="Send a test notice through the channel", status_code=202)
    async def send_test(key: Worker, name: Name) -> DeliveryOut:
        channel = alerts[key.store].channels.get(name) if key.store in alerts else None
        if channel is None:
            raise not_found("channel")
        if not channel.on:
            raise Problem(409, "channel-off", "The channel is off: closeloop.yaml gives it no address.")
        new = notices.trial(key.store, name, f"key:{key.key_id}")
        async with database.transaction() as session:
            await notices.add(session, new, [name], traceparent=new_traceparent())
            [delivery] = await store.of_notice(session, new.notice_id)
        ring()
        return delivery_out(delivery)

    return router


def channel_out(name: str, channel: Channel, doing: Doing) -> ChannelOut:
    hours = channel.quiet_hours
    return ChannelOut(
        name=name,
        kind=channel.kind,
        goes_to=_goes_to(channel),
        state=_state(channel, doing),
        paused_until=doing.paused_until if channel.on else None,
        sent=doing.sent,
        failed=doing.failed,
        waiting=doing.waiting,
        quiet_hours=f"{hours.start:%H:%M}-{hours.end:%H:%M}" if hours else None,
        digest_after=channel.single_alerts,
    )


def _state(channel: Channel, doing: Doing) -> ChannelState:
    if not channel.on:
        return ChannelState.OFF
    if doing.paused_until:
        return ChannelState.PAUSED
    return ChannelState.RETRYING if doing.retrying else ChannelState.HEALTHY


def _goes_to(channel: Channel) -> str:
    if channel.kind is not Kind.EMAIL:
        return urlsplit(channel.url).hostname or ""
    many = len(channel.mailboxes)
    parts = [f"{many} address{'es' if many != 1 else ''}"] if many else []
    return " and ".join([*parts, *(["the owner"] if channel.to_owner else [])])
