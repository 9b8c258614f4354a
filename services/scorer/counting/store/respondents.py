"""Respondents: the lock that guards everything about one of them, and their tiers over time."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import orjson

from services.scorer.counting.store.answers import Connection, Key, Spells
from services.scorer.counting.store.packing import packed
from shared.db import Raced
from shared.events.customers import CustomerChanged


async def lock_respondents(db: Connection, keys: Iterable[Key]) -> tuple[dict[Key, Spells], set[Key]]:
    """Lock these respondents until the transaction ends, and make rows for the new ones.

    Returns the tiers of all of them, and which are new. Raises Raced when another writer made one of them at
    the same time.
    """
    unique = set(keys)
    if not unique:
        return {}, set()
    rows = await db.fetch(
        """SELECT r.store, r.respondent, nullif(r.tiers, '[]')
           FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
           JOIN scorer.respondents r USING (store, respondent)
           ORDER BY r.store, r.respondent FOR UPDATE OF r""",
        *packed(unique),
    )
    spells: dict[Key, Spells] = {(row[0], row[1]): spells_of(row[2]) if row[2] else [] for row in rows}
    new = unique - spells.keys()
    if new:
        status = await db.execute(
            """INSERT INTO scorer.respondents (store, respondent)
               SELECT * FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
               ORDER BY store, respondent ON CONFLICT DO NOTHING""",
            *packed(new),
        )
        if status != f"INSERT 0 {len(new)}":
            raise Raced
        spells.update((key, []) for key in new)
    return spells, new


async def read_spells(db: Connection, keys: Iterable[Key]) -> dict[Key, Spells]:
    """The tiers of these respondents, without a lock."""
    unique = set(keys)
    if not unique:
        return {}
    rows = await db.fetch(
        """SELECT r.store, r.respondent, r.tiers
           FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
           JOIN scorer.respondents r USING (store, respondent)""",
        *packed(unique),
    )
    return {(row[0], row[1]): spells_of(row[2]) for row in rows}


def spells_of(tiers: list[list[str]]) -> Spells:
    """The stored tier spells, oldest first."""
    return [(datetime.fromisoformat(since), tier) for since, tier in tiers]


async def store_newer_tiers(db: Connection, events: Mapping[Key, CustomerChanged]) -> dict[Key, Spells]:
    """Store the tiers whose `seq` is higher than the stored one, and return those that were stored.

    The caller has locked the respondents.
    """
    unique = sorted(events)
    if not unique:
        return {}
    stores, refs = zip(*unique, strict=True)
    spells = {key: [(spell.since, spell.tier) for spell in events[key].history] for key in unique}
    rows = await db.fetch(
        """UPDATE scorer.respondents r SET tier_seq = n.seq, tiers = n.tiers
           FROM unnest($1::text[], $2::text[], $3::bigint[], $4::jsonb[]) AS n(store, respondent, seq, tiers)
           WHERE r.store = n.store AND r.respondent = n.respondent AND r.tier_seq < n.seq
           RETURNING r.store, r.respondent""",
        stores,
        refs,
        [events[key].seq for key in unique],
        [orjson.dumps([[since.isoformat(), tier] for since, tier in spells[key]]).decode() for key in unique],
    )
    return {(row[0], row[1]): spells[row[0], row[1]] for row in rows}


async def note_ends(db: Connection, ends: Mapping[Key, int]) -> None:
    """Note that the tiers of these respondents ended with `seq`: they go when the respondent is erased here.

    The row keeps the tiers until then, and says so by a `tier_seq` below zero.
    """
    unique = sorted(ends)
    if unique:
        await db.execute(
            """WITH held AS (
                   SELECT r.store, r.respondent, n.seq
                   FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n(store, respondent, seq)
                   JOIN scorer.respondents r USING (store, respondent)
                   WHERE r.tier_seq < n.seq AND r.tier_seq >= 0
                   ORDER BY r.store, r.respondent FOR UPDATE OF r)
               UPDATE scorer.respondents r SET tier_seq = -held.seq
               FROM held WHERE r.store = held.store AND r.respondent = held.respondent""",
            [key[0] for key in unique],
            [key[1] for key in unique],
            [ends[key] for key in unique],
        )
