"""What `closeloop republish scorer` starts."""

from services.scorer.store import republishing
from shared.db import Database, driver


async def republish(database: Database, store: str | None, *, batch: int = 5000) -> int:
    """Mark every published score, so that the publisher of a running scorer sends it again; returns how many.

    Each keeps its `seq`: whoever knows the state ignores it.
    """
    marked, after = 0, republishing.START
    while True:
        async with database.transaction() as session:
            some = await republishing.tell_again(await driver(session), store, after, batch)
        if not some:
            return marked
        marked, after = marked + len(some), some[-1]


async def waiting(database: Database, store: str | None) -> int:
    """How many scores were not sent yet."""
    async with database.snapshot() as session:
        return await republishing.waiting(await driver(session), store)
