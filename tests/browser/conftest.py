"""A browser for all tests here, and the pages of people at an address."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from playwright.async_api import Browser

from shared.db import Database
from tests.browser.browsing import Look, Watched, launched, looking, serving


@pytest.fixture(scope="session", autouse=True)
def made_once(cheap_passwords: None, compiled_templates: None) -> None:
    """Pages and people are in every test here."""


@pytest.fixture(scope="session")
async def chromium(need: Callable[..., None]) -> AsyncIterator[Browser]:
    need("chromium", "libatomic.so.1")
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
