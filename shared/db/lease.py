"""One active owner of a job, by a row and the database's clock."""

import asyncio
from uuid import uuid4

from sqlalchemy import text

from shared.db.database import Database


class Lease:
    """A named lease of one schema.

    `hold()` is called before each round of work and returns whether this process owns the job now. When the
    former owner did not release the lease, a new owner first waits for `grace_seconds`: the longest time for
    which something that the former one has sent may still be on its way.
    """

    def __init__(
        self,
        database: Database,
        schema: str,
        name: str,
        *,
        ttl_seconds: float = 12,
        grace_seconds: float = 8,
    ) -> None:
        self._database = database
        self._table = f"{schema}.leases"
        self.name = name
        self.owner = uuid4().hex
        self._ttl = ttl_seconds
        self._grace = grace_seconds
        self._valid_until = 0.0
        self._work_from = 0.0

    @property
    def held(self) -> bool:
        """Whether the lease is still ours, measured from before the database was asked."""
        return self._work_from <= asyncio.get_running_loop().time() < self._valid_until

    async def hold(self) -> bool:
        """Take the lease, or renew it when a third of its time has passed. Returns whether it is ours."""
        now = asyncio.get_running_loop().time()
        if self._valid_until - now > self._ttl * 2 / 3:
            return self._work_from <= now
        async with self._database.transaction() as session:
            row = (
                await session.execute(
                    text(f"""
                    WITH before AS (SELECT owner, clean FROM {self._table} WHERE name = :name)
                    INSERT INTO {self._table} AS l (name, owner, until, clean)
                    VALUES (:name, :owner, clock_timestamp() + make_interval(secs => :ttl), false)
                    ON CONFLICT (name) DO UPDATE
                    SET owner = excluded.owner, until = excluded.until, clean = false
                    WHERE l.owner = excluded.owner OR l.until < clock_timestamp()
                    RETURNING (SELECT owner = :owner OR clean FROM before)"""),
                    {"name": self.name, "owner": self.owner, "ttl": self._ttl},
                )
            ).first()
        if row is None:
            self._valid_until = 0.0
            return False
        self._valid_until = now + self._ttl
        if row[0] is False:  # another process owned it before us, and did not release it
            self._work_from = asyncio.get_running_loop().time() + self._grace
        return self.held

    async def release(self) -> None:
        """Let a new owner start at once. Call it when nothing that we sent is still on its way."""
        if self._valid_until == 0.0:
            return
        self._valid_until = 0.0
        async with self._database.transaction() as session:
            await session.execute(
                text(
                    f"UPDATE {self._table} SET until = clock_timestamp(), clean = true"
                    " WHERE name = :name AND owner = :owner"
                ),
                {"name": self.name, "owner": self.owner},
            )
