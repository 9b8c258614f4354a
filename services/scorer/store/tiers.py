"""The tiers of respondents, as the segmenter told them."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import asyncpg
import orjson

from services.scorer.store.answers import Key, Spells
from shared.events.customers import CustomerChanged

Connection: TypeAlias = "asyncpg.Connection[Any]"


async def keep_newer(db: Connection, events: Mapping[Key, CustomerChanged]) -> dict[Key, Spells]:
    """Store the tiers whose `seq` is higher than the stored one, and return the spells of those.

    The respondents are locked.
    """
    wanted = sorted(events)
    if not wanted:
        return {}
    stores, refs = zip(*wanted, strict=True)
    spells = {key: [(spell.since, spell.tier) for spell in events[key].history] for key in wanted}
    rows = await db.fetch(
        """UPDATE scorer.respondents r SET tier_seq = n.seq, tiers = n.tiers
           FROM unnest($1::text[], $2::text[], $3::bigint[], $4::jsonb[]) AS n(store, respondent, seq, tiers)
           WHERE r.store = n.store AND r.respondent = n.respondent AND r.tier_seq < n.seq
           RETURNING r.store, r.respondent""",
        stores,
        refs,
        [events[key].seq for key in wanted],
        [orjson.dumps([[since.isoformat(), tier] for since, tier in spells[key]]).decode() for key in wanted],
    )
    return {(row[0], row[1]): spells[row[0], row[1]] for row in rows}


async def end(db: Connection, ends: Mapping[Key, int]) -> None:
    """What was told of these respondents is to go when they are erased: a `seq` below zero says so."""
    wanted = sorted(ends)
    if wanted:
        await db.execute(
            """WITH held AS (
                   SELECT r.store, r.respondent, n.seq
                   FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n(store, respondent, seq)
                   JOIN scorer.respondents r USING (store, respondent)
                   WHERE r.tier_seq < n.seq AND r.tier_seq >= 0
                   ORDER BY r.store, r.respondent FOR UPDATE OF r)
               UPDATE scorer.respondents r SET tier_seq = -held.seq
               FROM held WHERE r.store = held.store AND r.respondent = held.respondent""",
            [key[0] for key in wanted],
            [key[1] for key in wanted],
            [ends[key] for key in wanted],
        )
