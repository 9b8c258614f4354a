"""What is left of somebody is looked for in every row that may be of their store, and in no other."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import text

from shared.db import Database
from shared.db.residue import search

EMAIL = f"{uuid4().hex}@example.com"
ID = uuid4().hex


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=2)
    yield database
    await database.close()


async def left(database: Database, store: str | None) -> list[tuple[str, int]]:
    async with database.transaction() as session:
        found = await search(session, "segmenter", [EMAIL.upper()], store=store)
        found += await search(session, "segmenter", [], store=store, columns={"customer_id": ID})
    return [(f"{one.table}.{one.column}", one.rows) for one in found]


class TestTheSearch:
    async def test_leaves_the_namesakes_of_other_stores_alone(self, database: Database) -> None:
        stores = [f"s{uuid4().hex[:12]}" for _ in range(3)]
        async with database.transaction() as session:
            await session.execute(
                text("""INSERT INTO segmenter.customers (store, ref, customer_id, email)
                        SELECT store, 'a', :id, :email FROM unnest(CAST(:stores AS text[])) store"""),
                {"stores": stores[:2], "id": ID, "email": EMAIL},
            )
        names = ["customers.email", "customers.customer_id"]
        assert await left(database, stores[0]) == [(name, 1) for name in names]
        assert await left(database, stores[2]) == []
        assert await left(database, None) == [(name, 2) for name in names]
