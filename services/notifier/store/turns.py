"""Whose turn it is in the teams, and how much each has in work."""

from collections.abc import Iterable, Mapping

from sqlalchemy import text

from shared.db import Session

TeamKey = tuple[str, str]
"""(store, team)"""

# Whoever has more than this is equally busy for us; counting on would cost more than it tells.
MOST_COUNTED = 1000


async def take(session: Session, wanted: Mapping[TeamKey, int]) -> dict[TeamKey, int]:
    """So many turns of each team; returns how many were taken before.

    The rows stay locked until the transaction ends, in sorted order, so nobody takes the same turn. Last
    of all locks: after customer, answer and case.
    """
    keys = sorted(wanted)
    if not keys:
        return {}
    rows = await session.execute(
        text("""INSERT INTO notifier.turns AS t (store, team, taken)
                SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:teams AS text[]),
                                     CAST(:counts AS bigint[])) ORDER BY 1, 2
                ON CONFLICT (store, team) DO UPDATE SET taken = t.taken + excluded.taken
                RETURNING store, team, taken"""),
        {
            "stores": [store for store, _ in keys],
            "teams": [team for _, team in keys],
            "counts": [wanted[key] for key in keys],
        },
    )
    return {(row.store, row.team): row.taken - wanted[row.store, row.team] for row in rows}


async def load(session: Session, owners: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """How many cases each (store, owner) has in work, counted up to MOST_COUNTED."""
    wanted = sorted(set(owners))
    if not wanted:
        return {}
    rows = await session.execute(
        text("""SELECT w.store, w.owner, one.cases
                FROM unnest(CAST(:stores AS text[]), CAST(:owners AS text[])) AS w(store, owner)
                CROSS JOIN LATERAL (
                    SELECT count(*) AS cases FROM (
                        SELECT 1 FROM notifier.cases c
                        WHERE c.store = w.store AND c.owner = w.owner
                              AND c.status NOT IN ('closed', 'dismissed') AND c.status <> 'resolved'
                        LIMIT :most) counted) one"""),
        {
            "stores": [store for store, _ in wanted],
            "owners": [owner for _, owner in wanted],
            "most": MOST_COUNTED,
        },
    )
    return {(row.store, row.owner): row.cases for row in rows}
