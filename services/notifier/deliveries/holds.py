"""Holds: all alerts are held back after a restore, or because an operator wants it so.

A hold is a row of `channel_pauses` for no store, named by its reason, that never ends by itself.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import text

from shared.db import Session


class Why(StrEnum):
    RESTORED = "restored"
    """The database is older than what the consumers told Kafka."""
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Hold:
    """One reason, and when it began."""

    why: Why
    since: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a channel has to send."""

    store: str
    channel: str
    deliveries: int
    oldest: datetime
    newest: datetime
    """When the answers arrived that they are about."""


async def places(session: Session, consumer: str) -> dict[tuple[str, int], int]:
    """The stored next offset of each partition of this group."""
    rows = await session.execute(
        text("SELECT topic, partition, next_offset FROM notifier.progress WHERE consumer = :consumer"),
        {"consumer": consumer},
    )
    return {(topic, partition): offset for topic, partition, offset in rows}


async def hold(session: Session, why: Why) -> None:
    """From the next round on nothing is sent, by any replica. What is on its way arrives."""
    await session.execute(
        text("""INSERT INTO notifier.channel_pauses (store, channel, paused_until)
                VALUES ('', :why, 'infinity')
                ON CONFLICT (store, channel) DO UPDATE SET paused_until = 'infinity'"""),
        {"why": why.value},
    )


async def held(session: Session) -> list[Why]:
    """Why nothing is sent; empty when nothing holds it back."""
    return [hold_in_force.why for hold_in_force in await holds(session)]


async def holds(session: Session) -> list[Hold]:
    """The same, each with its beginning."""
    rows = await session.execute(
        text("SELECT channel, made_at FROM notifier.channel_pauses WHERE store = '' ORDER BY channel")
    )
    return [Hold(Why(row.channel), row.made_at) for row in rows]


async def release(session: Session) -> None:
    """Send again."""
    await session.execute(text("DELETE FROM notifier.channel_pauses WHERE store = ''"))


async def call_off(session: Session, received_before: datetime) -> int:
    """Do not send what is about answers that arrived before that moment; returns how many it were."""
    updated = await session.execute(
        text("""WITH told AS (
                    SELECT delivery_id FROM notifier.deliveries
                    WHERE state = 'pending' AND received_at < :before
                    ORDER BY delivery_id FOR UPDATE)
                UPDATE notifier.deliveries d
                SET state = 'cancelled', settled_at = clock_timestamp(),
                    last_error = 'called off by an operator: sent before the restore'
                FROM told WHERE d.delivery_id = told.delivery_id"""),
        {"before": received_before},
    )
    return updated.rowcount


async def waiting(session: Session) -> list[Waiting]:
    """What there is to send, by channel."""
    rows = await session.execute(
        text("""SELECT store, channel, count(*), min(received_at), max(received_at)
                FROM notifier.deliveries WHERE state = 'pending'
                GROUP BY store, channel ORDER BY store, channel""")
    )
    return [Waiting(*row) for row in rows]
