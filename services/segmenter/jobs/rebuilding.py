"""What operators start: fold everybody again, or look whether that would change anything."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from services.segmenter.domain.contact import Contact
from services.segmenter.domain.ruling import Rulebook, judge
from services.segmenter.handlers import LEDGER, Clock, refold, utc_now
from services.segmenter.store import customers, facts
from services.segmenter.store.facts import CustomerKey
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


async def refolded(
    database: Database, book: Rulebook, store: str, clock: Clock, *, outdated_only: bool = False
) -> AsyncIterator[tuple[int, int]]:
    """Page by page: (folded, changed)."""
    other_than = book[store].programme.version if outdated_only else None
    after = ""
    while True:
        async with database.transaction() as session:
            await LEDGER.share(session)
            keys = await customers.page(session, store, after=after, limit=_PAGE, other_than=other_than)
            named = {key: Contact() for key in keys}
            changed = await refold(session, named, book=book, now=clock(), stale=keys)
        if not keys:
            return
        yield len(keys), changed
        after = keys[-1].ref


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
