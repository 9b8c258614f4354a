"""How many answers came in each hour, and which silences were told and are not over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from shared.db import Session


@dataclass(frozen=True, slots=True)
class Hour:
    """`touchpoint` of "" is none; `hour`: its first instant, UTC."""

    store: str
    touchpoint: str
    hour: datetime


async def add(session: Session, answers: Mapping[Hour, Sequence[datetime]], shard: int) -> None:
    """Count answers by when they reached us. `shard`: owners of disjoint ones never touch the same row."""
    rows = sorted(answers, key=lambda one: (one.store, one.touchpoint, one.hour))
    if not rows:
        return
    await session.execute(
        text("""INSERT INTO notifier.intake_hours AS i (store, touchpoint, hour, shard, answers, last_at)
                SELECT store, touchpoint, hour, :shard, answers, last_at
                FROM unnest(CAST(:stores AS text[]), CAST(:touchpoints AS text[]),
                            CAST(:hours AS timestamptz[]), CAST(:answers AS int[]),
                            CAST(:last AS timestamptz[])) AS n(store, touchpoint, hour, answers, last_at)
                ON CONFLICT (store, touchpoint, hour, shard) DO UPDATE
                SET answers = i.answers + excluded.answers,
                    last_at = greatest(i.last_at, excluded.last_at)"""),
        {
            "shard": shard,
            "stores": [row.store for row in rows],
            "touchpoints": [row.touchpoint for row in rows],
            "hours": [row.hour for row in rows],
            "answers": [len(answers[row]) for row in rows],
            "last": [max(answers[row]) for row in rows],
        },
    )


async def last_answer(session: Session, store: str, touchpoint: str) -> datetime | None:
    """When the last answer came; `touchpoint` of "" is any. None when none ever did."""
    found = await session.execute(
        text("""SELECT max(last_at) FROM notifier.intake_hours
                WHERE store = :store AND touchpoint = coalesce(CAST(:touchpoint AS text), touchpoint)"""),
        {"store": store, "touchpoint": touchpoint or None},
    )
    moment: datetime | None = found.scalar_one()
    return moment


async def counts(
    session: Session, store: str, touchpoint: str, spans: Sequence[tuple[datetime, datetime]]
) -> list[int]:
    """How many answers came in each of these spans of whole hours."""
    rows = await session.execute(
        text("""SELECT w.place, coalesce(sum(i.answers), 0) AS answers
                FROM unnest(CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
                     WITH ORDINALITY AS w(start, until, place)
                LEFT JOIN notifier.intake_hours i
                     ON i.store = :store AND i.touchpoint = coalesce(CAST(:touchpoint AS text), i.touchpoint)
                        AND i.hour >= w.start AND i.hour < w.until
                GROUP BY w.place ORDER BY w.place"""),
        {
            "starts": [start for start, _ in spans],
            "ends": [end for _, end in spans],
            "store": store,
            "touchpoint": touchpoint or None,
        },
    )
    return [int(row.answers) for row in rows]


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that was told and is not over."""

    rule: str
    touchpoint: str
    since: datetime
    notice_id: str


async def silences(session: Session, store: str) -> dict[tuple[str, str], Silence]:
    """By (rule, touchpoint)."""
    rows = await session.execute(
        text("SELECT rule, touchpoint, since, notice_id FROM notifier.silences WHERE store = :store"),
        {"store": store},
    )
    return {(row.rule, row.touchpoint): Silence(**row._asdict()) for row in rows}


async def began(session: Session, store: str, silence: Silence) -> bool:
    """Note that a silence was told; False when it was told already."""
    done = await session.execute(
        text("""INSERT INTO notifier.silences (store, rule, touchpoint, since, notice_id)
                VALUES (:store, :rule, :touchpoint, :since, :notice_id) ON CONFLICT DO NOTHING"""),
        {
            "store": store,
            "rule": silence.rule,
            "touchpoint": silence.touchpoint,
            "since": silence.since,
            "notice_id": silence.notice_id,
        },
    )
    return done.rowcount > 0


async def ended(session: Session, store: str, silence: Silence) -> bool:
    """Note that answers are back; False when somebody else did."""
    done = await session.execute(
        text("""DELETE FROM notifier.silences
                WHERE store = :store AND rule = :rule AND touchpoint = :touchpoint"""),
        {"store": store, "rule": silence.rule, "touchpoint": silence.touchpoint},
    )
    return done.rowcount > 0


def by_hour(answers: Sequence[tuple[str, str, datetime]]) -> dict[Hour, list[datetime]]:
    """(store, touchpoint, received at) of answers, by the hour in which they reached us."""
    found: dict[Hour, list[datetime]] = {}
    for store, touchpoint, at in answers:
        hour = Hour(store, touchpoint, at.replace(minute=0, second=0, microsecond=0))
        found.setdefault(hour, []).append(at)
    return found
