"""The delivery loop of one desk's store, over real sockets, in a hurry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from standardwebhooks import Webhook

from services.notifier.channels.lanes import lanes_of
from services.notifier.channels.message import Shop
from services.notifier.channels.outlets import Outlets
from services.notifier.channels.sending import DeliveryLoop
from services.notifier.settings import Alerts, NotifierSettings
from tests.integration.notifier.desk import SECRET, Desk, webhook

HASTY: dict[str, Any] = {
    "retry_scale": 0.00001,
    "send_timeout_seconds": 0.4,
    "connect_timeout_seconds": 0.4,
    "lease_seconds": 6,
    "allow_private_targets": True,
    "public_url": "https://feedback.example",
    "smtp_from": "Closeloop <alerts@feedback.example>",
}
ALERTS = Path(__file__).parents[3] / "deploy" / "alerts"


def webhooks(**urls: str) -> Alerts:
    return Alerts.model_validate({"channels": {name: webhook(url) for name, url in urls.items()}})


def sections(**channels: dict[str, Any]) -> Alerts:
    return Alerts.model_validate({"channels": channels})


@asynccontextmanager
async def delivering(desk: Desk, **given: Any) -> AsyncIterator[DeliveryLoop]:
    settings = NotifierSettings(**{**HASTY, **given})
    channels = {(desk.store, name): channel for name, channel in desk.alerts.targets.items()}
    shops = {desk.store: Shop(desk.store, "Shop", ZoneInfo("Europe/Amsterdam"), settings.base_url)}
    async with Outlets(channels, settings, ALERTS) as outlets:
        lanes = lanes_of(channels, outlets, shops, retry_scale=settings.retry_scale)
        loop = DeliveryLoop(desk.database, lanes, shops, settings)
        task = asyncio.create_task(loop.run())
        try:
            yield loop
        finally:
            await loop.stop()
            await asyncio.wait_for(task, 5)


async def settled(desk: Desk, state: str, *, count: int = 1, seconds: float = 20) -> list[dict[str, Any]]:
    """All deliveries of the store, once so many are in this state."""
    async with asyncio.timeout(seconds):
        while True:
            rows = await desk.deliveries()
            if sum(row["state"] == state for row in rows) >= count:
                return rows
            await asyncio.sleep(0.01)


def check(hit: Any) -> dict[str, Any]:
    """The payload of a request, verified with the official library."""
    payload: dict[str, Any] = Webhook(SECRET).verify(hit.body, hit.headers)
    return payload
