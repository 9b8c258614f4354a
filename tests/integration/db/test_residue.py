"""What is left of somebody is looked for in every row that may be of their store, and in no other."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import text

from shared.db import Database, Inbox
from shared.db.erasures import Erasures
from shared.db.inbox import DeadLetter
from shared.db.residue import search
from shared.feedback.identity import spellings

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

    @pytest.mark.parametrize(
        ("sent", "asked"),
        [
            ("Straße", "straße"),
            ("JOSE\u0301", "jos\u00e9"),
            ("Jos\u00e9", "jose\u0301"),
            ("ΟΔΟΣ", "οδος"),
        ],
    )
    async def test_finds_an_address_as_an_older_release_stored_it(
        self, database: Database, sent: str, asked: str
    ) -> None:
        store, ending = f"s{uuid4().hex[:12]}", f"@{uuid4().hex}.example"
        letter = f'{{"email":"{sent}{ending}"}}'.encode()
        async with database.transaction() as session:
            await session.execute(
                text("""INSERT INTO segmenter.customers (store, ref, customer_id, email)
                        VALUES (:store, 'a', :id, :email)"""),
                {"store": store, "id": store, "email": sent + ending},
            )
            await Inbox("segmenter", "closeloop-segmenter").bury(
                session, [DeadLetter("t", 0, uuid4().int >> 66, "x", "x", b"k", letter, (), "")]
            )
            found = await search(session, "segmenter", spellings(asked + ending))
            ids = await Erasures("segmenter").ids_with(session, store, asked + ending)
            await session.rollback()
        assert ids == [store]
        expected = {("customers", "email"), ("dead_letters", "value")}
        if asked != "οδος":  # of bytes PostgreSQL makes only ASCII lower case
            assert {(one.table, one.column) for one in found} == expected
        assert ("customers", "email") in {(one.table, one.column) for one in found}
