"""Alerts on their way: one row for (case, reason, channel), claimed under a lease on the database's clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import insert

from services.notifier import tables
from shared.db import Session

Target = tuple[str, str]
"""(store, channel)"""


class State(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class New:
    """A delivery to be made; `not_before` is the earliest first attempt."""

    delivery_id: str
    store: str
    case_id: str
    reason: str
    channel: str
    response_id: str
    received_at: datetime
    not_before: datetime
    traceparent: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until the lease runs out. `attempt`: 1 for the first."""

    delivery_id: str
    store: str
    case_id: str
    reason: str
    channel: str
    response_id: str
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


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as people see it."""

    delivery_id: str
    case_id: str
    reason: str
    channel: str
    response_id: str
    state: State
    attempt: int
    created_at: datetime
    next_at: datetime
    settled_at: datetime | None
    last_status: int | None
    last_milliseconds: int | None
    last_reply: str | None
    last_error: str | None


async def add(session: Session, deliveries: Sequence[New]) -> None:
    """Make deliveries; one that is there under (case, reason, channel) stays as it is."""
    if not deliveries:
        return
    await session.execute(
        insert(tables.deliveries).on_conflict_do_nothing(constraint="deliveries_once"),
        [
            {
                "delivery_id": new.delivery_id,
                "store": new.store,
                "case_id": new.case_id,
                "reason": new.reason,
                "channel": new.channel,
                "response_id": new.response_id,
                "received_at": new.received_at,
                "next_at": new.not_before,
                "traceparent": new.traceparent,
            }
            for new in deliveries
        ],
    )


async def release(session: Session, answers: Sequence[tuple[str, str]]) -> None:
    """The comment came: alerts of these (case, answer) pairs wait for it no longer."""
    if answers:
        await _change_waiting(
            session, answers, "next_at = least(next_at, statement_timestamp())", "attempt = 0"
        )


async def cancel(session: Session, case_ids: Sequence[str]) -> None:
    """Do not send what was not sent yet. What is on its way right now arrives, and is recorded as sent."""
    if case_ids:
        await _change_waiting(
            session,
            [(case_id, "") for case_id in case_ids],
            "state = 'cancelled', settled_at = clock_timestamp()",
            "true",
        )


async def _change_waiting(
    session: Session, pairs: Sequence[tuple[str, str]], change: str, condition: str
) -> None:
    await session.execute(
        text(f"""WITH held AS (
                     SELECT d.delivery_id FROM notifier.deliveries d
                     JOIN unnest(CAST(:cases AS text[]), CAST(:responses AS text[])) AS w(of_case, response)
                          ON d.case_id = w.of_case AND w.response IN ('', d.response_id)
                     WHERE d.state = 'pending' AND {condition}
                     ORDER BY d.delivery_id FOR UPDATE OF d)
                 UPDATE notifier.deliveries d SET {change}
                 FROM held WHERE d.delivery_id = held.delivery_id"""),
        {"cases": [case_id for case_id, _ in pairs], "responses": [response for _, response in pairs]},
    )


async def do_not_wait_for_disk(session: Session) -> None:
    """Commit before the disk has it: for what may be done twice, never for what must not be lost.

    A PostgreSQL that crashes may forget the last moments of claims and results: the same deliveries are
    then sent again under the same id, as after any crash between sending and recording.
    """
    await session.execute(text("SET LOCAL synchronous_commit TO off"))


async def claim(
    session: Session, free: dict[Target, int], *, most: int, token: str, lease_seconds: float
) -> list[Claimed]:
    """Take what is due, at most so many of each target; nobody else gets these until the lease is over."""
    if not free or most <= 0:
        return []
    rows = await session.execute(
        text("""WITH due AS (
                    SELECT one.delivery_id
                    FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[]), CAST(:free AS int[]))
                         AS t(store, channel, free)
                    CROSS JOIN LATERAL (
                        SELECT d.delivery_id FROM notifier.deliveries d
                        WHERE d.state = 'pending' AND d.store = t.store AND d.channel = t.channel
                              AND d.next_at <= statement_timestamp()
                        ORDER BY d.next_at LIMIT t.free FOR UPDATE SKIP LOCKED) one
                    LIMIT :most)
                UPDATE notifier.deliveries d
                SET attempt = attempt + 1, lease_token = :token,
                    next_at = clock_timestamp() + make_interval(secs => :lease)
                FROM due WHERE d.delivery_id = due.delivery_id
                RETURNING d.delivery_id, d.store, d.case_id, d.reason, d.channel, d.response_id,
                          d.received_at, d.created_at, d.traceparent, d.attempt"""),
        {
            "stores": [store for store, _ in free],
            "channels": [channel for _, channel in free],
            "free": list(free.values()),
            "most": most,
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
                SET lease_token = NULL, next_at = clock_timestamp(), attempt = greatest(attempt - 1, 0)
                WHERE state = 'pending' AND lease_token = ANY(CAST(:tokens AS text[]))"""),
        {"tokens": list(tokens)},
    )
    return done.rowcount


async def strand(session: Session, targets: Iterable[Target], *, after_seconds: float) -> int:
    """Declare dead what waits for a channel that is off or gone; returns how many."""
    wanted = list(targets)
    done = await session.execute(
        text("""UPDATE notifier.deliveries SET state = 'dead', settled_at = clock_timestamp(),
                       last_error = 'the channel is off or not configured'
                WHERE state = 'pending' AND next_at < statement_timestamp() - make_interval(secs => :after)
                  AND (store, channel) NOT IN
                      (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[])))"""),
        {
            "after": after_seconds,
            "stores": [store for store, _ in wanted],
            "channels": [channel for _, channel in wanted],
        },
    )
    return done.rowcount


async def replay(session: Session, store: str, delivery_id: str) -> State | None:
    """Send a dead delivery again under its own id; returns the state before, None when there is none."""
    found = await session.execute(
        text("""SELECT state FROM notifier.deliveries
                WHERE store = :store AND delivery_id = :id FOR UPDATE"""),
        {"store": store, "id": delivery_id},
    )
    state = found.scalar_one_or_none()
    if state == State.DEAD:
        await session.execute(
            text("""UPDATE notifier.deliveries SET state = 'pending', attempt = 0, settled_at = NULL,
                           lease_token = NULL, next_at = clock_timestamp() WHERE delivery_id = :id"""),
            {"id": delivery_id},
        )
    return State(state) if state else None


_SHOWN = """delivery_id, case_id, reason, channel, response_id, state, attempt, created_at, next_at,
    settled_at, last_status, last_milliseconds, last_reply, last_error"""


async def one(session: Session, store: str, delivery_id: str) -> Delivery | None:
    rows = await session.execute(
        text(f"SELECT {_SHOWN} FROM notifier.deliveries WHERE store = :store AND delivery_id = :id"),
        {"store": store, "id": delivery_id},
    )
    row = rows.first()
    return _delivery(row) if row else None


async def of_case(session: Session, case_id: str) -> list[Delivery]:
    rows = await session.execute(
        text(f"SELECT {_SHOWN} FROM notifier.deliveries WHERE case_id = :case_id ORDER BY delivery_id"),
        {"case_id": case_id},
    )
    return [_delivery(row) for row in rows]


async def page(
    session: Session, store: str, state: State | None, *, before: str | None, limit: int
) -> list[Delivery]:
    """Deliveries of a store, the newest first."""
    statement = text(
        f"SELECT {_SHOWN} FROM notifier.deliveries WHERE store = :store"
        + (" AND state = :state" if state else "")
        + (" AND delivery_id < :before" if before else "")
        + " ORDER BY delivery_id DESC LIMIT :limit"
    ).bindparams(bindparam("store", store), bindparam("limit", limit))
    given = {"state": state.value} if state else {}
    given |= {"before": before} if before else {}
    return [_delivery(row) for row in await session.execute(statement, given)]


def _delivery(row: Any) -> Delivery:
    fields = row._asdict()
    return Delivery(**{**fields, "state": State(fields["state"])})
