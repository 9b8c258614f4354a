"""A browser for all tests here, and the pages of people at an address."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from browsing import CHROMIUM, Look, Watched, launched, looking, serving
from playwright.async_api import Browser

from shared.db import Database

# The examples that the integration tests work with serve here too.
for part in ("web", "notifier"):
    sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / part))


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: install the package chromium to run the browser tests")
    async with launched() as browser:
        yield browser


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=8)
    yield database
    await database.close()


@pytest.fixture
def window(chromium: Browser) -> Callable[..., AbstractAsyncContextManager[Watched]]:
    """`async with window(url, look) as watched`: a window with no cookies."""

    def open_(url: str, look: Look | None = None) -> AbstractAsyncContextManager[Watched]:
        return looking(chromium, url, look or Look())

    return open_


__all__ = ["serving"]
