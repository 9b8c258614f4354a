"""Who carries what, and how alerts went: the parts of the report that have a row for each name."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from services.notifier.report.store import CONTACT_DUE, LIVE, Scope, closings
from shared.db import Session

_MOST_OWNERS = 500


@dataclass(frozen=True, slots=True)
class Load:
    """What one owner has and had; `owner` of None is nobody. Seconds by each case's own clock."""

    owner: str | None
    open: int
    closed: int
    contact_due: int
    contact_in_time: int
    median: float | None


async def loads(session: Session, scope: Scope, start: datetime, end: datetime, now: datetime) -> list[Load]:
    """Those with most to do first. Closed: in the period; in time and median: of cases opened in it."""
    rows = await session.execute(
        text(f"""WITH closing AS ({closings(scope)}),
                 part AS (
                     SELECT c.owner, count(*) AS open, 0 AS closed, 0 AS due, 0 AS in_time,
                            CAST(NULL AS float8) AS median
                     FROM notifier.cases c WHERE {scope.condition} AND {LIVE} GROUP BY c.owner
                     UNION ALL
                     SELECT owner, 0, count(*), 0, 0, NULL FROM closing GROUP BY owner
                     UNION ALL
                     SELECT c.owner, 0, 0, count(*) FILTER (WHERE {CONTACT_DUE}),
                            count(*) FILTER (WHERE {CONTACT_DUE}
                                AND c.first_contact_at <= c.first_contact_due_at),
                            percentile_cont(0.5) WITHIN GROUP (ORDER BY c.first_contact_seconds)
                                FILTER (WHERE c.status <> 'dismissed')
                     FROM notifier.cases c
                     WHERE {scope.condition} AND c.opened_at >= :start AND c.opened_at < :end
                     GROUP BY c.owner)
                 SELECT owner, CAST(sum(open) AS bigint) AS open, CAST(sum(closed) AS bigint) AS closed,
                        CAST(sum(due) AS bigint) AS contact_due,
                        CAST(sum(in_time) AS bigint) AS contact_in_time, max(median) AS median
                 FROM part GROUP BY owner
                 ORDER BY owner IS NULL, sum(open) + sum(closed) DESC, owner LIMIT {_MOST_OWNERS}"""),
        scope.given | {"start": start, "end": end, "now": now},
    )
    return [Load(**row._asdict()) for row in rows]


@dataclass(frozen=True, slots=True)
class Channel:
    """Alerts made in the period for one channel, without those that were taken back.

    `digested`: told in one message with others. Seconds from the first attempt to the end, of those
    delivered: waiting for a comment or for the morning is not slowness.
    """

    channel: str
    made: int
    delivered: int
    digested: int
    waiting: int
    retrying: int
    dead: int
    next_at: datetime | None
    last_error: str | None
    last_status: int | None
    median: float | None
    slowest: float | None


async def channels(session: Session, store: str, start: datetime, end: datetime) -> list[Channel]:
    rows = await session.execute(
        text("""SELECT channel, count(*) AS made, count(*) FILTER (WHERE state = 'sent') AS delivered,
                       count(*) FILTER (WHERE state = 'digested') AS digested,
                       count(*) FILTER (WHERE state = 'pending' AND attempt = 0) AS waiting,
                       count(*) FILTER (WHERE state = 'pending' AND attempt > 0) AS retrying,
                       count(*) FILTER (WHERE state = 'dead') AS dead,
                       min(next_at) FILTER (WHERE state = 'pending' AND attempt > 0) AS next_at,
                       (array_agg(last_error ORDER BY settled_at DESC) FILTER (WHERE state = 'dead'))[1]
                           AS last_error,
                       (array_agg(last_status ORDER BY settled_at DESC) FILTER (WHERE state = 'dead'))[1]
                           AS last_status,
                       percentile_cont(0.5) WITHIN GROUP (ORDER BY took) FILTER (WHERE state = 'sent')
                           AS median,
                       percentile_cont(0.99) WITHIN GROUP (ORDER BY took) FILTER (WHERE state = 'sent')
                           AS slowest
                FROM (SELECT *, CAST(extract(epoch FROM settled_at - coalesce(first_at, created_at))
                                     AS float8) AS took
                      FROM notifier.deliveries
                      WHERE store = :store AND created_at >= :start AND created_at < :end
                            AND state <> 'cancelled') d
                GROUP BY channel ORDER BY channel"""),
        {"store": store, "start": start, "end": end},
    )
    return [Channel(**row._asdict()) for row in rows]
