"""What operators start: fold everybody again, or look whether that would change anything."""

from collections.abc import Callable
from dataclasses import dataclass

from services.segmenter.customers import store as republishing
from services.segmenter.facts import store as facts
from services.segmenter.facts.store import CustomerKey
from services.segmenter.tiers import store as customers
from services.segmenter.tiers.domain.ruling import Rulebook, judge
from services.segmenter.tiers.folding import Clock, refolded, utc_now
from shared.db import Database

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Rebuilt:
    seen: int
    changed: int


async def rebuild(
    database: Database,
    book: Rulebook,
    store: str | None = None,
    *,
    clock: Clock = utc_now,
    progress: Callable[[int], None] = lambda seen: None,
) -> Rebuilt:
    """Fold every customer of a store, or of all, from the stored facts. Harmless twice and in traffic."""
    seen = changed = 0
    for name in [store] if store is not None else book:
        async for page_seen, page_changed in refolded(database, book, name, clock):
            seen, changed = seen + page_seen, changed + page_changed
            progress(seen)
    return Rebuilt(seen, changed)


async def verify(database: Database, book: Rulebook, store: str | None = None) -> list[CustomerKey]:
    """Customers whose stored ruling is not the fold of their facts at the same instant; should be none."""
    wrong: list[CustomerKey] = []
    for name in [store] if store is not None else book:
        after = ""
        while True:
            async with database.snapshot() as session:
                keys = await customers.page(session, name, after=after, limit=_PAGE)
                rows = await customers.read(session, keys)
                records = await facts.of_customers(session, keys)
            if not keys:
                break
            for row in rows:
                _, ruling = judge(records[row.key], book[name], row.folded_at)
                if row.ruling != ruling:
                    wrong.append(row.key)
            after = keys[-1].ref
    return wrong


# What `closeloop republish segmenter` starts.


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
