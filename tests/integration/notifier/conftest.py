from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from notifier_desk import Desk
from notifier_shop import Shop, opened_shop

from shared.db import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=8)
    yield database
    await database.close()


@pytest.fixture
def desk(database: Database) -> Desk:
    """A store of its own, with one webhook channel and no rules."""
    return Desk(database)


@pytest.fixture
async def shop(database: Database, database_url: str, bootstrap: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened_shop(database, database_url, bootstrap, tmp_path) as shop:
        yield shop
