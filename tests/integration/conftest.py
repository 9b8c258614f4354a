from collections.abc import AsyncIterator

import pytest

from shared.db import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=8)
    yield database
    await database.close()


@pytest.fixture(scope="session", autouse=True)
def made_once(cheap_passwords: None, compiled_templates: None) -> None:
    """Pages and people are in half of the tests here."""
