"""What `closeloop republish segmenter` starts."""

from services.segmenter.store import republishing
from shared.db import Database


async def republish(database: Database, store: str | None, *, batch: int = 5000) -> int:
    """Mark every customer, so that the publisher of a running segmenter sends it again; returns how many.

    Each keeps its `seq`: whoever knows the state ignores it.
    """
    marked, after = 0, republishing.START
    while True:
        async with database.transaction() as session:
            some = await republishing.tell_again(session, store, after, batch)
        if not some:
            return marked
        marked, after = marked + len(some), some[-1]


async def waiting(database: Database, store: str | None) -> int:
    """How many customers were not sent yet."""
    async with database.snapshot() as session:
        return await republishing.waiting(session, store)
