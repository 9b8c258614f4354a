from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from shared.db import Database
from tests.integration.notifier.desk import Desk
from tests.integration.notifier.inbox_pages import Agent, Branch
from tests.integration.notifier.shop import Shop, opened_shop


@pytest.fixture
def desk(database: Database) -> Desk:
    """A store of its own, with one webhook channel and no rules."""
    return Desk(database)


@pytest.fixture
async def shop(database: Database, database_url: str, bootstrap: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened_shop(database, database_url, bootstrap, tmp_path) as shop:
        yield shop


@pytest.fixture
def branch(database: Database) -> Branch:
    return Branch(database, given={"teams": {"care": {"members": ["kim@shop.example"]}}})


@pytest.fixture
async def client(branch: Branch) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that opens the pages of `branch`."""
    transport = httpx.ASGITransport(branch.application())
    async with httpx.AsyncClient(transport=transport, base_url="http://notifier.example") as client:
        yield client


@pytest.fixture
async def noor(branch: Branch, client: httpx.AsyncClient) -> Agent:
    """An agent who is signed in."""
    agent = Agent(client)
    await agent.sign_in(await branch.hire("Noor Bakker"))
    return agent
