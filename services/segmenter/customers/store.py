"""The SQL of publishing customers and of the list of the API. A customer's row is its own outbox: while its
`seq` is above its `published_seq` its state is to be sent."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import text

from services.segmenter.facts.store import CustomerKey
from services.segmenter.tiers.domain.standing import Transition
from services.segmenter.tiers.store import HISTORY
from shared.db import Session


@dataclass(frozen=True, slots=True)
class UnpublishedCustomer:
    """A customer whose latest state was not sent yet."""

    key: CustomerKey
    seq: int
    tier: str
    since: datetime | None
    tags: tuple[str, ...]
    reason: str
    rule_version: str
    history: tuple[Transition, ...]
    traceparent: str


_UNPUBLISHED = text("""
    SELECT store, ref, seq, tier, since, tags, reason, rule_version, CAST(history AS text), traceparent
    FROM segmenter.customers c
    WHERE seq > published_seq AND known AND NOT erased
      AND NOT EXISTS (SELECT 1 FROM segmenter.forgotten f WHERE f.store = c.store AND f.ref = c.ref)
      AND (published_at IS NULL OR published_at <= now() - make_interval(secs => :interval))
    ORDER BY changed_at LIMIT :limit""")

_BACKLOG = text("""
    SELECT count(*), min(changed_at) FROM (
        SELECT changed_at FROM segmenter.customers
        WHERE seq > published_seq AND known AND NOT erased ORDER BY changed_at LIMIT 10000) AS waiting""")

_HELD = """
    WITH sent AS (
        SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:seqs AS bigint[]))
               AS s(store, ref, seq)
    ), held AS (
        SELECT c.store, c.ref, sent.seq FROM segmenter.customers c
        JOIN sent ON c.store = sent.store AND c.ref = sent.ref
        ORDER BY c.store, c.ref FOR UPDATE OF c
    )
    UPDATE segmenter.customers c SET """

_MARK_PUBLISHED = text(f"""{_HELD} published_seq = greatest(c.published_seq, held.seq), published_at = now()
    FROM held WHERE c.store = held.store AND c.ref = held.ref""")

_PUBLISH_AGAIN = text(f"""{_HELD} published_seq = least(c.published_seq, c.seq - 1), published_at = NULL
    FROM held WHERE c.store = held.store AND c.ref = held.ref""")


async def unpublished(session: Session, *, interval_seconds: float, limit: int) -> list[UnpublishedCustomer]:
    """The customers whose state is to be sent, longest waiting first; one that was sent just now waits."""
    rows = await session.execute(_UNPUBLISHED, {"interval": interval_seconds, "limit": limit})
    return [
        UnpublishedCustomer(
            CustomerKey(store, ref),
            seq,
            tier,
            since,
            tuple(tags),
            reason,
            rule_version,
            HISTORY.validate_json(history),
            traceparent,
        )
        for store, ref, seq, tier, since, tags, reason, rule_version, history, traceparent in rows
    ]


async def backlog(session: Session) -> tuple[int, datetime | None]:
    """How many customers are to be sent (counted to 10,000), and since when the oldest waits."""
    row = (await session.execute(_BACKLOG)).one()
    return int(row[0]), row[1]


async def mark_published(session: Session, sent: Sequence[tuple[CustomerKey, int]]) -> None:
    """Note that the topic has these states."""
    await session.execute(_MARK_PUBLISHED, _parameters(sent))


async def publish_again(session: Session, sent: Sequence[tuple[CustomerKey, int]]) -> None:
    """Send the newest state of these customers again."""
    await session.execute(_PUBLISH_AGAIN, _parameters(sent))


@dataclass(frozen=True, slots=True)
class ErasedCustomer:
    """A customer who was erased: the state that others have is to be ended by one last event."""

    key: CustomerKey
    seq: int
    traceparent: str


async def erased(session: Session, *, limit: int) -> list[ErasedCustomer]:
    """Erased customers whose last event was not sent yet, longest waiting first."""
    rows = await session.execute(
        text("""SELECT store, ref, seq, traceparent FROM segmenter.forgotten
                ORDER BY forgotten_at LIMIT :limit"""),
        {"limit": limit},
    )
    return [ErasedCustomer(CustomerKey(store, ref), seq, trace) for store, ref, seq, trace in rows]


async def forget_published(session: Session, sent: Sequence[tuple[CustomerKey, int]]) -> None:
    """Forget these erased customers: their last event was sent."""
    if sent:
        await session.execute(
            text("""DELETE FROM segmenter.forgotten f
                    USING unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:seqs AS bigint[]))
                          AS s(store, ref, seq)
                    WHERE f.store = s.store AND f.ref = s.ref AND f.seq <= s.seq"""),
            _parameters(sent),
        )


def _parameters(sent: Sequence[tuple[CustomerKey, int]]) -> dict[str, list[str] | list[int]]:
    return {
        "stores": [key.store for key, _ in sent],
        "refs": [key.ref for key, _ in sent],
        "seqs": [seq for _, seq in sent],
    }


@dataclass(frozen=True, slots=True)
class Listed:
    """A customer in the list of the API, as of the last fold."""

    ref: str
    customer_id: str | None
    email: str | None
    name: str | None
    tier: str
    since: datetime | None
    points: int
    tags: list[str]
    folded_at: datetime


_LISTED = ", ".join(field.name for field in fields(Listed))
_FILTERS = {
    "tier": "tier = :tier",
    "tag": "tags @> ARRAY[CAST(:tag AS text)]",
    "email": "lower(email) = :email",
}


async def listed(
    session: Session,
    store: str,
    *,
    tier: str | None = None,
    tag: str | None = None,
    email: str | None = None,
    after: str = "",
    limit: int,
) -> list[Listed]:
    """The customers of a store in the order of their refs, after this one, with this tier, tag and e-mail
    address (in its normal form) as far as they are given."""
    filters = {
        name: value for name, value in (("tier", tier), ("tag", tag), ("email", email)) if value is not None
    }
    rows = await session.execute(
        text(f"""SELECT {_LISTED} FROM segmenter.customers
                 WHERE store = :store AND known AND NOT erased AND tier IS NOT NULL AND ref > :after
                   {"".join(f"AND {_FILTERS[name]} " for name in filters)}
                 ORDER BY ref LIMIT :limit"""),
        {"store": store, "after": after, "limit": limit, **filters},
    )
    return [Listed(*row) for row in rows]


Place = tuple[str, str]
"""Store and reference of a customer."""

START: Place = ("", "")

_MARK_UNPUBLISHED = text("""
    WITH held AS (
        SELECT store, ref FROM segmenter.customers
        WHERE (store, ref) > (:after_store, :after_ref) AND known AND NOT erased
              AND (CAST(:store AS text) IS NULL OR store = :store)
        ORDER BY store, ref LIMIT :limit FOR UPDATE)
    UPDATE segmenter.customers c
    SET published_seq = least(c.published_seq, c.seq - 1), published_at = NULL
    FROM held WHERE c.store = held.store AND c.ref = held.ref
    RETURNING c.store, c.ref""")

_COUNT_UNPUBLISHED = text("""
    SELECT count(*) FROM segmenter.customers
    WHERE seq > published_seq AND known AND NOT erased
          AND (CAST(:store AS text) IS NULL OR store = :store)""")


async def mark_unpublished(session: Session, store: str | None, after: Place, limit: int) -> list[Place]:
    """Mark the next customers after this one as not sent, under the `seq` that they have; returns which they
    are.

    Surrogates of erased people are never published.
    """
    rows = await session.execute(
        _MARK_UNPUBLISHED, {"after_store": after[0], "after_ref": after[1], "store": store, "limit": limit}
    )
    return sorted((row[0], row[1]) for row in rows)


async def count_unpublished(session: Session, store: str | None) -> int:
    """How many customers of a store, or of all, the topic does not have yet."""
    rows = await session.execute(_COUNT_UNPUBLISHED, {"store": store})
    count: int = rows.scalar_one()
    return count
