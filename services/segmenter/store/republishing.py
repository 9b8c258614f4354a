"""Have every known customer told once more."""

from sqlalchemy import text

from shared.db import Session

Place = tuple[str, str]
"""Store and reference of a customer."""

START: Place = ("", "")

_TELL_AGAIN = text("""
    WITH held AS (
        SELECT store, ref FROM segmenter.customers
        WHERE (store, ref) > (:after_store, :after_ref) AND known AND NOT erased
              AND (CAST(:store AS text) IS NULL OR store = :store)
        ORDER BY store, ref LIMIT :limit FOR UPDATE)
    UPDATE segmenter.customers c
    SET published_seq = least(c.published_seq, c.seq - 1), published_at = NULL
    FROM held WHERE c.store = held.store AND c.ref = held.ref
    RETURNING c.store, c.ref""")

_WAITING = text("""
    SELECT count(*) FROM segmenter.customers
    WHERE seq > published_seq AND known AND NOT erased
          AND (CAST(:store AS text) IS NULL OR store = :store)""")


async def tell_again(session: Session, store: str | None, after: Place, limit: int) -> list[Place]:
    """Have the publisher send the next customers again, under the `seq` they have; returns which they are.

    Nobody hears of those who stand for the erased.
    """
    rows = await session.execute(
        _TELL_AGAIN, {"after_store": after[0], "after_ref": after[1], "store": store, "limit": limit}
    )
    return sorted((row[0], row[1]) for row in rows)


async def waiting(session: Session, store: str | None) -> int:
    """How many customers the topic does not have yet."""
    found = await session.execute(_WAITING, {"store": store})
    count: int = found.scalar_one()
    return count
