"""Deliveries in somebody's hands: claimed under a lease on the database's clock, sent, written down."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from services.notifier.deliveries.store import State, Target
from shared.db import Session

MOST_CLAIMED = 500
"""In one round, so that it stays short."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until the lease runs out. `attempt`: 1 for the first."""

    delivery_id: str
    store: str
    case_id: str | None
    notice_id: str | None
    """What it is about: one of the two."""
    reason: str
    channel: str
    response_id: str | None
    received_at: datetime
    created_at: datetime
    traceparent: str
    attempt: int
    token: str


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended. `wait_seconds`: until the next one, when the delivery is still pending."""

    delivery_id: str
    token: str
    """The lease under which it was made."""
    state: State
    wait_seconds: float
    status: int | None
    milliseconds: int
    reply: str
    error: str


async def begin(session: Session) -> bool:
    """Begin a round; returns whether a hold stops all sending.

    The round commits before the disk has it, which is for what may be done twice, never for what must not be
    lost: a PostgreSQL that crashes may forget the last moments of claims and results. The same deliveries
    are then sent again under the same id, as after any crash between sending and recording.
    """
    found = await session.execute(
        text("""SELECT set_config('synchronous_commit', 'off', true),
                       EXISTS (SELECT FROM notifier.channel_pauses WHERE store = '')""")
    )
    return bool(found.one()[1])


async def claim(
    session: Session,
    free: Mapping[Target, int],
    *,
    token: str,
    lease_seconds: float,
    crowded: Collection[Target] = (),
) -> list[Claimed]:
    """Take what is due, at most so many of each target; nobody else gets these until the lease is over.

    Of a `crowded` target no alert that was never tried: those join a digest.
    """
    if not free:
        return []
    rows = await session.execute(
        text(f"""WITH due AS (
                    SELECT one.delivery_id
                    FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[]), CAST(:free AS int[]),
                                CAST(:crowded AS boolean[])) AS t(store, channel, free, crowded)
                    CROSS JOIN LATERAL (
                        SELECT d.delivery_id FROM notifier.deliveries d
                        WHERE d.state = 'pending' AND d.store = t.store AND d.channel = t.channel
                              AND d.next_at <= statement_timestamp()
                              AND NOT (t.crowded AND d.attempt = 0 AND d.case_id IS NOT NULL)
                        ORDER BY d.next_at LIMIT t.free FOR UPDATE SKIP LOCKED) one
                    LIMIT {MOST_CLAIMED})
                UPDATE notifier.deliveries d
                SET attempt = attempt + 1, lease_token = :token,
                    first_at = CASE WHEN d.case_id IS NOT NULL
                                    THEN coalesce(d.first_at, clock_timestamp()) END,
                    next_at = clock_timestamp() + make_interval(secs => :lease)
                FROM due WHERE d.delivery_id = due.delivery_id
                RETURNING d.delivery_id, d.store, d.case_id, d.notice_id, d.reason, d.channel, d.response_id,
                          d.received_at, d.created_at, d.traceparent, d.attempt"""),
        {
            "stores": [store for store, _ in free],
            "channels": [channel for _, channel in free],
            "free": list(free.values()),
            "crowded": [target in crowded for target in free],
            "token": token,
            "lease": lease_seconds,
        },
    )
    return [Claimed(**row._asdict(), token=token) for row in rows]


async def seconds_to_next(session: Session, targets: Iterable[Target]) -> float | None:
    """Until the next attempt of any of these targets is due; None when nothing waits."""
    wanted = list(targets)
    found = await session.execute(
        text("""SELECT CAST(extract(epoch FROM min(one.next_at) - clock_timestamp()) AS float8)
                FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[])) AS t(store, channel)
                CROSS JOIN LATERAL (
                    SELECT d.next_at FROM notifier.deliveries d
                    WHERE d.state = 'pending' AND d.store = t.store AND d.channel = t.channel
                    ORDER BY d.next_at LIMIT 1) one"""),
        {"stores": [store for store, _ in wanted], "channels": [channel for _, channel in wanted]},
    )
    seconds: float | None = found.scalar_one()
    return seconds


async def record(session: Session, results: Sequence[Result]) -> set[str]:
    """Write down how attempts ended; returns the deliveries that were still ours."""
    if not results:
        return set()
    rows = await session.execute(
        text("""WITH result AS (
                    SELECT * FROM unnest(
                        CAST(:ids AS text[]), CAST(:tokens AS text[]), CAST(:states AS text[]),
                        CAST(:waits AS float8[]),
                        CAST(:statuses AS int[]), CAST(:times AS int[]), CAST(:replies AS text[]),
                        CAST(:errors AS text[])) AS r(id, token, state, wait, status, took, reply, error)
                ), held AS (
                    SELECT d.delivery_id FROM notifier.deliveries d JOIN result r ON d.delivery_id = r.id
                    WHERE d.lease_token = r.token ORDER BY d.delivery_id FOR UPDATE OF d
                )
                UPDATE notifier.deliveries d
                SET state = CASE WHEN d.state = 'cancelled' AND r.state <> 'sent' THEN d.state
                                 ELSE r.state END,
                    next_at = CASE WHEN r.state = 'pending'
                                   THEN clock_timestamp() + make_interval(secs => r.wait) ELSE d.next_at END,
                    settled_at = CASE WHEN r.state <> 'pending' THEN clock_timestamp() ELSE d.settled_at END,
                    lease_token = NULL, last_status = r.status, last_milliseconds = r.took,
                    last_reply = r.reply, last_error = r.error
                FROM held JOIN result r ON r.id = held.delivery_id
                WHERE d.delivery_id = held.delivery_id
                RETURNING d.delivery_id"""),
        {
            "ids": [result.delivery_id for result in results],
            "tokens": [result.token for result in results],
            "states": [result.state.value for result in results],
            "waits": [result.wait_seconds for result in results],
            "statuses": [result.status for result in results],
            "times": [result.milliseconds for result in results],
            "replies": [result.reply for result in results],
            "errors": [result.error for result in results],
        },
    )
    return set(rows.scalars())


async def let_go(session: Session, tokens: Iterable[str]) -> int:
    """Give back what was claimed and not recorded, so that a successor need not wait for the lease."""
    done = await session.execute(
        text("""UPDATE notifier.deliveries
                SET lease_token = NULL, next_at = clock_timestamp(), attempt = greatest(attempt - 1, 0),
                    first_at = CASE WHEN attempt > 1 THEN first_at END
                WHERE state = 'pending' AND lease_token = ANY(CAST(:tokens AS text[]))"""),
        {"tokens": list(tokens)},
    )
    return done.rowcount
