"""The permanent ledger of erased people, so that an old event that comes late does not bring them back.

A row is a reference and a moment. Nothing leads from it to the rows that remain of the person, which have a
random surrogate.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import text

from shared.db.database import Session
from shared.events import Event, Received
from shared.events.erasures import CustomerErased
from shared.feedback.identity import spellings, unclaimed, with_claims

Ref = tuple[str, str]
"""Store and customer reference."""


class Erasures:
    """The table `erasures` of one schema, and the lock around erasing.

    A transaction that writes rows about customers shares the lock; one that erases holds it alone. So an
    erasure sees complete rows, and a transaction after it sees the ledger.
    """

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._lock = f"closeloop.{schema}.erasures"

    async def share(self, session: Session) -> None:
        """Let nobody be erased until the transaction ends. Call it before any row is locked."""
        await session.execute(
            text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))"), {"name": self._lock}
        )

    async def hold(self, session: Session) -> None:
        """Let nobody write about customers until the transaction ends. Call it before any row is locked."""
        await session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": self._lock}
        )

    async def enter(self, session: Session, erased: Mapping[Ref, datetime]) -> set[Ref]:
        """Write these moments into the ledger; the later of two stays. The caller holds the lock.

        Returns those that the ledger did not have, or had with an earlier moment.
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
        """Those of `refs` that were erased, each with the moment up to which its events are ignored.

        Who claims to be a customer is erased with that customer, also where only the customer is in the
        ledger: the releases that knew no claims wrote such rows.
        """
        if not refs:
            return {}
        keys = sorted(set(refs))
        rows = await session.execute(
            text(f"""SELECT k.store, k.ref, max(e.erased_at)
                     FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:plain AS text[]))
                          AS k(store, ref, plain)
                     JOIN {self._schema}.erasures e
                          ON e.store = k.store AND e.ref = ANY(ARRAY[k.ref, k.plain])
                     GROUP BY k.store, k.ref"""),
            {**_named(keys), "plain": [unclaimed(ref) for _, ref in keys]},
        )
        return {(row[0], row[1]): row[2] for row in rows}

    async def ids_with(self, session: Session, store: str, email: str) -> list[str]:
        """The ids of the store's customers with this e-mail address; only where the schema has customers."""
        rows = await session.execute(
            text(f"""SELECT customer_id FROM {self._schema}.customers
                     WHERE store = :store AND lower(email) = ANY(CAST(:emails AS text[]))
                           AND customer_id IS NOT NULL"""),
            {"store": store, "emails": spellings(email)},
        )
        return [str(row[0]) for row in rows]

    async def blank_letters(self, session: Session, refs: Iterable[Ref], keys: Sequence[bytes] = ()) -> int:
        """Empty the dead letters that hold one of these references, or have one of these keys.

        The rows stay, so that `closeloop verify` can account for the records. Returns how many were emptied.
        """
        emptied = await session.execute(
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
        return int(emptied.rowcount)


def erased_until(events: Iterable[Event]) -> dict[Ref, datetime]:
    """For each reference of the customers of these events, the latest `erased_at`; events of other types are
    ignored. What others claimed in a customer's name is erased with the customer's own."""
    latest: dict[Ref, datetime] = {}
    for event in events:
        if isinstance(event, CustomerErased):
            for ref in itertools.chain.from_iterable(map(with_claims, event.refs)):
                key = (event.store, ref)
                latest[key] = max(event.erased_at, latest.get(key, event.erased_at))
    return latest


def erasure_outcomes(batch: Sequence[Received], new_refs: Collection[Ref]) -> dict[tuple[str, str], int]:
    """How many erasures of a batch were `ok`, how many a `duplicate`. `new_refs`: what `enter` returned."""
    fresh = sum(
        any((received.event.store, ref) in new_refs for ref in received.event.refs)
        for received in batch
        if isinstance(received.event, CustomerErased)
    )
    topic = CustomerErased.topic.name
    return {(topic, "ok"): fresh, (topic, "duplicate"): len(batch) - fresh}


def _named(keys: Sequence[Ref]) -> dict[str, list[str]]:
    return {"stores": [store for store, _ in keys], "refs": [ref for _, ref in keys]}
