"""One owner at a time, by the database's clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from shared.db import Database, Lease, Session
from shared.db.service_tables import tables_v1

Make = Callable[..., Lease]


@pytest.fixture
async def make(database_url: str) -> AsyncIterator[Make]:
    """Leases of one job, each as another process would hold it."""
    schema = f"lease_{uuid4().hex[:12]}"
    connection = await asyncpg.connect(database_url)
    for statement in tables_v1(schema):
        await connection.execute(statement)
    await connection.close()
    database = Database(database_url, pool_size=4)
    yield lambda ttl=30.0, grace=30.0: Lease(database, schema, "job", ttl_seconds=ttl, grace_seconds=grace)
    await database.close()


class TestLease:
    async def test_has_one_owner(self, make: Make) -> None:
        leases = [make() for _ in range(8)]
        owned = await asyncio.gather(*(lease.hold() for lease in leases))

        assert sum(owned) == 1
        assert [lease.held for lease in leases] == owned

    async def test_the_first_owner_need_not_wait(self, make: Make) -> None:
        assert await make(grace=30).hold()

    async def test_is_renewed_before_it_runs_out(self, make: Make) -> None:
        owner, other = make(ttl=0.6), make(ttl=0.6)
        for _ in range(12):
            assert await owner.hold()
            assert not await other.hold()
            await asyncio.sleep(0.1)

    async def test_is_handed_over_at_once_by_an_owner_that_let_go(self, make: Make) -> None:
        former, heir = make(), make(grace=30)
        assert await former.hold()
        await former.release()

        assert not former.held
        assert await heir.hold()
        assert not await former.hold()

    async def test_of_a_dead_owner_is_taken_over_after_expiry_and_grace(self, make: Make) -> None:
        dead, heir = make(ttl=0.3), make(grace=0.5)
        assert await dead.hold()
        assert not await heir.hold()
        await asyncio.sleep(0.35)
        began = asyncio.get_running_loop().time()
        assert not await heir.hold()  # taken, and waiting out what the dead one may have started
        assert not heir.held
        while not await heir.hold():
            await asyncio.sleep(0.02)

        assert asyncio.get_running_loop().time() - began >= 0.5
        assert heir.held

    async def test_is_not_held_after_a_pause_longer_than_it_lasts(self, make: Make) -> None:
        lease = make(ttl=0.2)
        assert await lease.hold()
        assert lease.held
        await asyncio.sleep(0.25)

        assert not lease.held

    async def test_taken_back_from_a_dead_heir_waits_out_its_grace_too(self, make: Make) -> None:
        """The owner froze, its heir worked and died; the owner wakes with an old memory of the lease."""
        owner, heir = make(ttl=0.2, grace=5), make(ttl=0.2, grace=0)
        assert await owner.hold()
        await asyncio.sleep(0.25)
        assert await heir.hold()
        await asyncio.sleep(0.25)

        assert not await owner.hold()
        assert not owner.held

    async def test_counts_from_before_the_database_was_asked(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        transaction = Database.transaction

        @asynccontextmanager
        async def slowly(database: Database) -> AsyncIterator[Session]:
            async with transaction(database) as session:
                yield session
            await asyncio.sleep(0.5)

        monkeypatch.setattr(Database, "transaction", slowly)
        assert not await make(ttl=0.4).hold()

    async def test_a_release_by_a_former_owner_changes_nothing(self, make: Make) -> None:
        owner, heir, third = make(ttl=0.2), make(ttl=30, grace=0), make()
        assert await owner.hold()
        await asyncio.sleep(0.25)
        assert await heir.hold()
        await owner.release()

        assert not await third.hold()
