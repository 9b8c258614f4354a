"""The documentation of the API in a real browser: from this host alone, under the rules of every page."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from playwright.async_api import expect
from starlette.types import Receive, Scope, Send

from tests.browser.browsing import Watched, serving
from tests.unit.http.built_services import SERVICES, api_of, built

Window = Callable[..., AbstractAsyncContextManager[Watched]]


class Started:
    """An application that is served without its engines."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return
        for done in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{done}.complete"})


@pytest.mark.parametrize("service", SERVICES)
async def test_shows_every_operation_and_asks_no_other_host(window: Window, service: str) -> None:
    application = built(service)
    paths = api_of(application).openapi()["paths"].values()
    operations = sum(len(operation["tags"]) for methods in paths for operation in methods.values())
    async with serving(Started(application)) as url, window(url) as watched:
        assert await watched.open("/docs" if service == "collector" else f"/docs/{service}") == 200
        await expect(watched.page.locator(".opblock")).to_have_count(operations)
        alive = watched.page.locator("#operations-operations-livez_livez_get")
        await alive.locator(".opblock-summary-control").click()
        await alive.get_by_role("button", name="Try it out").click()
        await alive.get_by_role("button", name="Execute").click()
        answer = alive.locator(".live-responses-table .response")
        await expect(answer.first).to_contain_text('"status": "ok"')
