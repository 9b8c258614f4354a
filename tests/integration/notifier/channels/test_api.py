"""Channels over HTTP: how they are doing, a test of one, and sending dead alerts again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from services.notifier.channels import api
from shared.access import Scope, keys
from shared.db import Database
from tests.integration.notifier.application import bare_application
from tests.integration.notifier.desk import Desk
from tests.integration.notifier.receiver import Receiver, answer
from tests.integration.notifier.sending import delivering, sections, settled

PEPPER = b"p" * 32


@asynccontextmanager
async def client(database: Database, desk: Desk, *scopes: Scope) -> AsyncIterator[httpx.AsyncClient]:
    app = bare_application(database, PEPPER)
    app.include_router(api.routes(database, lambda: None, {desk.store: desk.alerts.channels}))
    async with database.transaction() as session:
        token = await keys.create(session, store=desk.store, kind="secret", scopes=scopes, pepper=PEPPER)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://notifier",
        headers={"Authorization": f"Bearer {token}"},
    ) as client:
        yield client


BOTH = (Scope.CASES_READ, Scope.CASES_WRITE)


class TestChannels:
    async def test_show_how_they_are_doing_and_nothing_secret(self, database: Database, desk: Desk) -> None:
        async with Receiver([answer(500)]) as broken, Receiver() as right:
            desk.alerts = sections(
                off={"kind": "slack"},
                broken={"kind": "slack", "url": broken.url.replace("/hook", "/services/T0/SECRET")},
                right={"kind": "slack", "url": right.url},
                care={
                    "kind": "email",
                    "to": ["a@example.com"],
                    "to_owner": True,
                    "quiet_hours": "22:00-07:00",
                },
            )
            await desk.apply(*(desk.submitted(1, response_id=f"r{n}", customer=f"c{n}") for n in range(6)))
            async with delivering(desk, retry_scale=1, smtp_host="localhost", smtp_port=1):
                await settled(desk, "sent", count=6)
                async with client(database, desk, *BOTH) as shop:
                    while (await self.state(shop, "broken"))["state"] != "paused":
                        await asyncio.sleep(0.02)
                    shown = {
                        channel["name"]: channel
                        for channel in (await shop.get("/v1/channels")).json()["channels"]
                    }
                    text = (await shop.get("/v1/channels")).text
        assert shown["off"]["state"] == "off"
        assert (shown["right"]["state"], shown["right"]["sent"]) == ("healthy", 6)
        assert shown["broken"]["paused_until"]
        assert shown["broken"]["waiting"] == 6
        assert (shown["care"]["goes_to"], shown["care"]["quiet_hours"]) == (
            "1 address and the owner",
            "22:00-07:00",
        )
        assert "SECRET" not in text

    async def state(self, shop: httpx.AsyncClient, name: str) -> dict[str, Any]:
        every = (await shop.get("/v1/channels")).json()["channels"]
        return next(channel for channel in every if channel["name"] == name)

    async def test_can_be_tested_by_the_same_road(self, database: Database, desk: Desk) -> None:
        async with Receiver() as receiver:
            desk.alerts = sections(
                out={
                    "kind": "slack",
                    "url": receiver.url,
                    "quiet_hours": "00:00-23:59",
                    "quiet_urgent": True,
                },
                off={"kind": "slack"},
            )
            async with client(database, desk, *BOTH) as shop, delivering(desk):
                made = await shop.post("/v1/channels/out/test")
                assert made.status_code == 202
                assert made.json()["case_id"] is None
                assert (await shop.post("/v1/channels/off/test")).status_code == 409
                assert (await shop.post("/v1/channels/none/test")).status_code == 404
                await settled(desk, "sent")
        assert b"Test of the channel out" in receiver.hits[0].body

    async def test_want_the_right_to_write(self, database: Database, desk: Desk) -> None:
        async with client(database, desk, Scope.CASES_READ) as reader:
            assert (await reader.post("/v1/channels/alerts/test")).status_code == 403
            assert (await reader.post("/v1/deliveries:replay", json={})).status_code == 403


class TestDeadDeliveries:
    async def test_are_sent_again_all_at_once(self, database: Database, desk: Desk) -> None:
        async with Receiver([answer(410)]) as receiver:
            desk.alerts = sections(out={"kind": "slack", "url": receiver.url, "digest_after": 0})
            await desk.apply(*(desk.submitted(1, response_id=f"r{n}", customer=f"c{n}") for n in range(30)))
            async with client(database, desk, *BOTH) as shop, delivering(desk) as loop:
                await settled(desk, "dead", count=30)
                receiver.script = [answer(200)]
                done = await shop.post("/v1/deliveries:replay", json={"channel": "out", "state": "dead"})
                loop.ring()
                await settled(desk, "sent", count=30)
        assert done.json() == {"replayed": 30, "more": False}
        assert len({row["delivery_id"] for row in await desk.deliveries()}) == 30
        assert (await desk.history()).count("delivery_replayed") == 30

    @pytest.mark.parametrize(
        "body", [{"state": "sent"}, {"channel": 7}, {"chanel": "out"}, {"channel": "other"}, []]
    )
    async def test_are_asked_for_rightly(self, database: Database, desk: Desk, body: Any) -> None:
        async with client(database, desk, *BOTH) as shop:
            assert (await shop.post("/v1/deliveries:replay", json=body)).status_code == 422
