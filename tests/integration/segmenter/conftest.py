from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from shared.db import Database
from tests.integration.segmenter.builders import Shop


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=12)
    yield database
    await database.close()


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database, f"s{uuid4().hex[:12]}")
