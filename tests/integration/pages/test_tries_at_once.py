"""Wrong and right tries of one pair at the same moment."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.access import tries
from shared.db import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=8)
    yield database
    await database.close()


class TestTriesAtOnce:
    async def test_end_well_while_right_ones_forget_them(self, database: Database) -> None:
        name, address = uuid4().bytes, uuid4().bytes

        async def signs_in() -> None:
            for _ in range(60):
                async with database.transaction() as session:
                    await tries.enter_address(session, address, datetime.now(UTC))
                    await tries.enter(session, name, datetime.now(UTC))
                async with database.transaction() as session:
                    await tries.take_back_address(session, address)
                    await tries.forget(session, name)

        await asyncio.gather(*(signs_in() for _ in range(8)))

    async def test_are_all_counted(self, database: Database) -> None:
        name, now = uuid4().bytes, datetime.now(UTC)

        async def tries_once() -> timedelta:
            async with database.transaction() as session:
                return await tries.enter(session, name, now)

        waits = await asyncio.gather(*(tries_once() for _ in range(20)))
        assert sum(wait == timedelta() for wait in waits) == tries.MOST
