from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from shared.access.roster import Roster
from shared.db import Database
from tests.integration.pages.reception import Reception, Visitor


@pytest.fixture
def reception(database: Database) -> Reception:
    return Reception(database)


@pytest.fixture
async def served(reception: Reception) -> tuple[httpx.ASGITransport, Roster]:
    app, roster = reception.application()
    await roster.refresh()
    return httpx.ASGITransport(app, client=("192.0.2.7", 4711)), roster


@pytest.fixture
async def roster(served: tuple[httpx.ASGITransport, Roster]) -> Roster:
    return served[1]


@pytest.fixture
async def visitors(served: tuple[httpx.ASGITransport, Roster]) -> AsyncIterator[Callable[..., Visitor]]:
    """Browsers, as many as a test wants."""
    async with AsyncExitStack() as stack:
        clients: list[httpx.AsyncClient] = []

        def visitor(base_url: str = "http://toy.example") -> Visitor:
            client = httpx.AsyncClient(transport=served[0], base_url=base_url)
            stack.push_async_callback(client.aclose)
            clients.append(client)
            return Visitor(client)

        yield visitor


@pytest.fixture
def visitor(visitors: Callable[..., Visitor]) -> Visitor:
    return visitors()
