"""Deliveries: one row for (case, reason, channel) or (notice, channel). Made, cancelled, replayed, shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, text

from shared.db import Session

Target = tuple[str, str]
"""(store, channel)"""


class State(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"
    CANCELLED = "cancelled"
    DIGESTED = "digested"
    """Told in a digest instead, together with others."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
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
class Delivery:
    """A delivery as people see it."""

    delivery_id: str
    case_id: str | None
    notice_id: str | None
    digest_id: str | None
    reason: str
    channel: str
    response_id: str | None
    state: State
    attempt: int
    created_at: datetime
    next_at: datetime
    settled_at: datetime | None
    last_status: int | None
    last_milliseconds: int | None
    last_reply: str | None
    last_error: str | None


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


async def strand(session: Session, targets: Iterable[Target], *, after_seconds: float) -> int:
    """Declare dead what waits for a channel that is off or gone; returns how many."""
    channels = list(targets)
    updated = await session.execute(
        text("""UPDATE notifier.deliveries SET state = 'dead', settled_at = clock_timestamp(),
                       last_error = 'the channel is off or not configured'
                WHERE state = 'pending' AND next_at < statement_timestamp() - make_interval(secs => :after)
                  AND (store, channel) NOT IN
                      (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[])))"""),
        {
            "after": after_seconds,
            "stores": [store for store, _ in channels],
            "channels": [channel for _, channel in channels],
        },
    )
    return updated.rowcount


async def replay(session: Session, store: str, delivery_id: str) -> State | None:
    """Send a dead delivery again under its own id; returns the state before, None when there is none."""
    rows = await session.execute(
        text("""SELECT state FROM notifier.deliveries
                WHERE store = :store AND delivery_id = :id FOR UPDATE"""),
        {"store": store, "id": delivery_id},
    )
    state = rows.scalar_one_or_none()
    if state == State.DEAD:
        await session.execute(
            text(f"UPDATE notifier.deliveries SET {_AFRESH} WHERE delivery_id = :id"), {"id": delivery_id}
        )
    return State(state) if state else None


async def replay_dead(session: Session, store: str, channel: str | None, *, most: int) -> list[Delivery]:
    """Send dead deliveries of a channel (None: of all) again, the oldest first; returns them as they were."""
    rows = await session.execute(
        text(f"""WITH dead AS (
                     SELECT * FROM notifier.deliveries WHERE store = :store AND state = 'dead'
                            AND (CAST(:channel AS text) IS NULL OR channel = :channel)
                     ORDER BY delivery_id LIMIT :most FOR UPDATE SKIP LOCKED),
                 afresh AS (
                     UPDATE notifier.deliveries d SET {_AFRESH}
                     FROM dead WHERE d.delivery_id = dead.delivery_id)
                 SELECT {_SHOWN} FROM dead ORDER BY delivery_id"""),
        {"store": store, "channel": channel, "most": most},
    )
    return [_delivery(row) for row in rows]


_AFRESH = """state = 'pending', attempt = 0, first_at = NULL, settled_at = NULL, lease_token = NULL,
    next_at = clock_timestamp()"""

_SHOWN = """delivery_id, case_id, notice_id, digest_id, reason, channel, response_id, state, attempt,
    created_at, next_at, settled_at, last_status, last_milliseconds, last_reply, last_error"""


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


async def of_notice(session: Session, notice_id: str) -> list[Delivery]:
    rows = await session.execute(
        text(f"SELECT {_SHOWN} FROM notifier.deliveries WHERE notice_id = :notice ORDER BY delivery_id"),
        {"notice": notice_id},
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
    parameters = {"state": state.value} if state else {}
    parameters |= {"before": before} if before else {}
    return [_delivery(row) for row in await session.execute(statement, parameters)]


def _delivery(row: Any) -> Delivery:
    fields = row._asdict()
    return Delivery(**{**fields, "state": State(fields["state"])})


# How the channels of a store are doing: what they sent, what waits, and whether they pause.


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """`sent` and `failed` (dead) of the last 24 hours; `retrying`: those that failed and are tried again."""

    sent: int = 0
    failed: int = 0
    waiting: int = 0
    retrying: int = 0
    paused_until: datetime | None = None


async def pause(session: Session, pauses: Mapping[Target, float]) -> None:
    """Note that these channels send nothing for so many seconds."""
    if not pauses:
        return
    targets = sorted(pauses)
    await session.execute(
        text("""INSERT INTO notifier.channel_pauses AS p (store, channel, paused_until)
                SELECT t.store, t.channel, clock_timestamp() + make_interval(secs => t.seconds)
                FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[]), CAST(:seconds AS float8[]))
                     AS t(store, channel, seconds)
                ON CONFLICT (store, channel) DO UPDATE
                SET paused_until = greatest(p.paused_until, excluded.paused_until)"""),
        {
            "stores": [store for store, _ in targets],
            "channels": [channel for _, channel in targets],
            "seconds": [pauses[target] for target in targets],
        },
    )


async def channel_health(session: Session, store: str, channels: Iterable[str]) -> dict[str, ChannelHealth]:
    rows = await session.execute(
        text("""SELECT t.channel,
                       coalesce(settled.sent, 0) AS sent, coalesce(settled.failed, 0) AS failed,
                       coalesce(pending.waiting, 0) AS waiting, coalesce(pending.retrying, 0) AS retrying,
                       CASE WHEN p.paused_until > clock_timestamp() THEN p.paused_until END AS paused_until
                FROM unnest(CAST(:channels AS text[])) AS t(channel)
                LEFT JOIN notifier.channel_pauses p ON p.store = :store AND p.channel = t.channel
                LEFT JOIN LATERAL (
                    SELECT count(*) FILTER (WHERE d.state = 'sent') AS sent,
                           count(*) FILTER (WHERE d.state = 'dead') AS failed
                    FROM notifier.deliveries d
                    WHERE d.store = :store AND d.channel = t.channel
                          AND d.settled_at > statement_timestamp() - interval '24 hours') settled ON true
                LEFT JOIN LATERAL (
                    SELECT count(*) AS waiting,
                           count(*) FILTER (WHERE d.attempt > 0 AND d.last_error <> '') AS retrying
                    FROM notifier.deliveries d
                    WHERE d.store = :store AND d.channel = t.channel AND d.state = 'pending') pending ON true
             """),
        {"store": store, "channels": list(channels)},
    )
    return {
        row.channel: ChannelHealth(row.sent, row.failed, row.waiting, row.retrying, row.paused_until)
        for row in rows
    }
