"""Whoever answers: the lock that guards everything about one respondent, and the tiers that were told."""

from collections.abc import Iterable
from datetime import datetime

from services.scorer.store.answers import Connection, Key, Spells
from services.scorer.store.packing import packed
from shared.db import Raced


async def lock_respondents(db: Connection, keys: Iterable[Key]) -> tuple[dict[Key, Spells], set[Key]]:
    """Lock these respondents until the transaction ends: the tiers of all, and which are new here.

    Raises Raced when another writer made one of them at the same time.
    """
    wanted = set(keys)
    if not wanted:
        return {}, set()
    rows = await db.fetch(
        """SELECT r.store, r.respondent, nullif(r.tiers, '[]')
           FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
           JOIN scorer.respondents r USING (store, respondent)
           ORDER BY r.store, r.respondent FOR UPDATE OF r""",
        *packed(wanted),
    )
    found: dict[Key, Spells] = {(row[0], row[1]): spells_of(row[2]) if row[2] else [] for row in rows}
    new = wanted - found.keys()
    if new:
        made = await db.execute(
            """INSERT INTO scorer.respondents (store, respondent)
               SELECT * FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
               ORDER BY store, respondent ON CONFLICT DO NOTHING""",
            *packed(new),
        )
        if made != f"INSERT 0 {len(new)}":
            raise Raced
        found.update((key, []) for key in new)
    return found, new


async def read_spells(db: Connection, keys: Iterable[Key]) -> dict[Key, Spells]:
    """The tiers of these respondents, without a lock."""
    wanted = set(keys)
    if not wanted:
        return {}
    rows = await db.fetch(
        """SELECT r.store, r.respondent, r.tiers
           FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, respondent)
           JOIN scorer.respondents r USING (store, respondent)""",
        *packed(wanted),
    )
    return {(row[0], row[1]): spells_of(row[2]) for row in rows}


def spells_of(tiers: list[list[str]]) -> Spells:
    """The stored tier spells, oldest first."""
    return [(datetime.fromisoformat(since), tier) for since, tier in tiers]
