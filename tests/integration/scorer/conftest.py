from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.db import Database
from tests.integration.scorer.builders import Shop


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=12)
    yield database
    await database.close()


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)
