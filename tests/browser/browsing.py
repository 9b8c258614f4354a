"""A real browser: pages in every look, what they complain about, and axe."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from axe_playwright_python.async_playwright import Axe
from fastapi import FastAPI
from playwright.async_api import Browser, Page, async_playwright, expect

expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong


@dataclass(frozen=True)
class Look:
    """How a page is looked at: in light or dark, on a phone or a desk."""

    scheme: Any = "light"
    width: int = 1280
    scripts: bool = True

    def __str__(self) -> str:
        return f"{self.scheme}-{self.width}"


LOOKS = [Look(scheme, width) for scheme, width in product(("light", "dark"), (1280, 390))]


@dataclass
class Watched:
    """A page, and everything about it that no page of ours may do."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        host = urlsplit(self.url).netloc
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._said(message.text))
        self.page.on("request", lambda request: self._asked(host, request.url))

    def _said(self, text: str) -> None:
        if "Content Security Policy" in text or "Refused to" in text:
            self.complaints.append(text)

    def _asked(self, host: str, url: str) -> None:
        if urlsplit(url).netloc not in (host, ""):
            self.complaints.append(f"asked another host: {url}")

    async def open(self, path: str) -> int:
        """The status."""
        response = await self.page.goto(self.url + path)
        assert response is not None
        return response.status

    async def arrive(self, path: str) -> None:
        """Wait until the window shows this page."""
        await self.page.wait_for_url(self.url + path)

    async def sign_in(self, email: str, password: str) -> None:
        await self.open("/login")
        await self.page.fill("#email", email)
        await self.page.fill("#password", password)
        await self.page.press("#password", "Enter")
        await self.page.wait_for_url(lambda url: urlsplit(url).path != "/login")

    async def faults(self) -> list[str]:
        """What axe finds, which rules and where."""
        results = await Axe().run(self.page)
        return [
            f"{found['id']}: {node['html'][:200]} ({node.get('failureSummary', '')[:300]})"
            for found in results.response["violations"]
            for node in found["nodes"]
        ]

    async def sideways(self) -> int:
        """How far the page can be scrolled sideways; it should not."""
        return int(
            await self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """Chromium as the system has it."""
    async with async_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        yield browser
        await browser.close()


@asynccontextmanager
async def looking(browser: Browser, url: str, look: Look) -> AsyncIterator[Watched]:
    """A window with no cookies, closed at the end; fails when a page of it did what none may."""
    context = await browser.new_context(
        viewport={"width": look.width, "height": 800},
        color_scheme=look.scheme,
        java_script_enabled=look.scripts,
    )
    context.set_default_timeout(15_000)
    try:
        watched = Watched(await context.new_page(), url)
        yield watched
        assert watched.complaints == []
    finally:
        await context.close()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """An application at an address of its own in this process; its URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on", access_log=False)
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                assert not running.done(), "the server did not start"
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        await running
