from collections.abc import AsyncIterator

import pytest
from notifier_desk import Desk

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
