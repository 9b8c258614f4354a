"""Who was erased, for ever: the ledger that keeps them from coming back with an old event.

A row is a reference and a moment. Nothing leads from it to the rows that the person left behind, which
have a random surrogate.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import text

from shared.db.database import Session
from shared.events import Event, Received
from shared.events.erasures import CustomerErased

Ref = tuple[str, str]
"""Store and customer reference."""

_GIVEN = "unnest(CAST(:stores AS text[]), CAST(:refs AS text[]))"


class Erasures:
    """The table `erasures` of one schema, and the lock around erasing.

    Whoever writes what names customers shares the lock until its transaction ends; who erases holds it
    alone. So an erasure meets rows that are whole, and whoever comes after it sees the ledger.
    """

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._lock = f"closeloop.{schema}.erasures"

    async def share(self, session: Session) -> None:
        """Nobody is erased until the transaction ends. The first thing in it, before any row is locked."""
        await session.execute(
            text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))"), {"name": self._lock}
        )

    async def hold(self, session: Session) -> None:
        """Be alone until the transaction ends. The first thing in it, before any row is locked."""
        await session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": self._lock}
        )

    async def enter(self, session: Session, erased: Mapping[Ref, datetime]) -> set[Ref]:
        """Write these into the ledger; of two moments the later one stays. The lock is held.

        Returns for whom this was news.
        """
        keys = sorted(erased)
        rows = await session.execute(
            text(f"""INSERT INTO {self._schema}.erasures AS e (store, ref, erased_at)
                     SELECT store, ref, erased_at
                     FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:at AS timestamptz[]))
                          AS n(store, ref, erased_at)
                     ON CONFLICT (store, ref)
                     DO UPDATE SET erased_at = excluded.erased_at WHERE e.erased_at < excluded.erased_at
                     RETURNING e.store, e.ref"""),
            {**_named(keys), "at": [erased[key] for key in keys]},
        )
        return {(row[0], row[1]) for row in rows}

    async def of(self, session: Session, refs: Collection[Ref]) -> dict[Ref, datetime]:
        """Which of these were erased, and until when nothing of theirs counts as theirs."""
        if not refs:
            return {}
        rows = await session.execute(
            text(f"""SELECT e.store, e.ref, e.erased_at FROM {_GIVEN} AS k(store, ref)
                     JOIN {self._schema}.erasures e USING (store, ref)"""),
            _named(sorted(set(refs))),
        )
        return {(row[0], row[1]): row[2] for row in rows}

    async def ids_with(self, session: Session, store: str, email: str) -> list[str]:
        """The ids of customers that the store named with this address, where the schema has customers."""
        rows = await session.execute(
            text(f"""SELECT customer_id FROM {self._schema}.customers
                     WHERE store = :store AND lower(email) = lower(:email) AND customer_id IS NOT NULL"""),
            {"store": store, "email": email},
        )
        return [str(row[0]) for row in rows]

    async def blank_letters(self, session: Session, refs: Iterable[Ref], keys: Sequence[bytes] = ()) -> int:
        """Empty the dead letters that hold one of these references, or have one of these keys.

        Their place in the log stays, so that the books balance. Returns how many were emptied.
        """
        done = await session.execute(
            text(f"""UPDATE {self._schema}.dead_letters d
                     SET key = NULL, value = NULL, headers = '[]', detail = '', state =
                         CASE WHEN state = 'dead' THEN 'discarded' ELSE state END,
                         settled_at = coalesce(settled_at, now())
                     WHERE (value IS NOT NULL OR key IS NOT NULL)
                       AND (key = ANY(CAST(:keys AS bytea[])) OR EXISTS (
                            SELECT 1 FROM unnest(CAST(:needles AS bytea[])) AS n(needle)
                            WHERE position(needle IN coalesce(d.value, '')) > 0
                               OR position(needle IN coalesce(d.key, '')) > 0))"""),
            {"keys": list(keys), "needles": sorted({ref.encode() for _, ref in refs})},
        )
        return int(done.rowcount)


def until(events: Iterable[Event]) -> dict[Ref, datetime]:
    """By customer the latest of the moments that these events tell."""
    found: dict[Ref, datetime] = {}
    for event in events:
        if isinstance(event, CustomerErased):
            for ref in event.refs:
                key = (event.store, ref)
                found[key] = max(event.erased_at, found.get(key, event.erased_at))
    return found


def outcomes(batch: Sequence[Received], news: Collection[Ref]) -> dict[tuple[str, str], int]:
    """How many erasures of a batch were `ok`, and how many told nothing new."""
    fresh = sum(
        any((received.event.store, ref) in news for ref in received.event.refs)
        for received in batch
        if isinstance(received.event, CustomerErased)
    )
    topic = CustomerErased.topic.name
    return {(topic, "ok"): fresh, (topic, "duplicate"): len(batch) - fresh}


def _named(keys: Sequence[Ref]) -> dict[str, list[str]]:
    return {"stores": [store for store, _ in keys], "refs": [ref for _, ref in keys]}
