import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from ipaddress import IPv4Address

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
    return httpx.ASGITransport(app, client=(new_address(), 4711)), roster


def new_address() -> str:
    """Of IPv4, so that tests do not use up each other's tries."""
    return str(IPv4Address(random.getrandbits(32)))


@pytest.fixture
async def roster(served: tuple[httpx.ASGITransport, Roster]) -> Roster:
    return served[1]


@pytest.fixture
async def visitors(served: tuple[httpx.ASGITransport, Roster]) -> AsyncIterator[Callable[..., Visitor]]:
    """Browsers, as many as a test wants; all at one network address, unless `elsewhere`."""
    async with AsyncExitStack() as stack:
        clients: list[httpx.AsyncClient] = []

        def visitor(base_url: str = "http://toy.example", *, elsewhere: bool = False) -> Visitor:
            transport = served[0]
            if elsewhere:
                transport = httpx.ASGITransport(transport.app, client=(new_address(), 4711))
            client = httpx.AsyncClient(transport=transport, base_url=base_url)
            stack.push_async_callback(client.aclose)
            clients.append(client)
            return Visitor(client)

        yield visitor


@pytest.fixture
def visitor(visitors: Callable[..., Visitor]) -> Visitor:
    return visitors()
