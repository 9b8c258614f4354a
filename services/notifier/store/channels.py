"""How the channels of a store are doing: what they sent, what waits, and whether they pause."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from services.notifier.deliveries.store import Target
from shared.db import Session


@dataclass(frozen=True, slots=True)
class Doing:
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


async def doing(session: Session, store: str, channels: Iterable[str]) -> dict[str, Doing]:
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
        row.channel: Doing(row.sent, row.failed, row.waiting, row.retrying, row.paused_until) for row in rows
    }
