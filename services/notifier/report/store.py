"""All SQL of the report: each function reads the counts of one figure, over the cases of a `Scope`.

Endings are read from the history, so that the figures of a month that is over do not change again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from services.notifier.cases.domain.case import Priority
from services.notifier.cases.store.cases import IS_LIVE
from services.notifier.report.domain import AGE_HOURS, FIRST_CONTACT_HOURS
from shared.db import Session
from shared.feedback.identity import ERASED

NO_TEAM = "none"


@dataclass(frozen=True, slots=True)
class Scope:
    """The cases that a report is about: of a store, and perhaps of one team or one priority.

    A team of NO_TEAM: the cases without a team.
    """

    store: str
    team: str | None = None
    priority: Priority | None = None

    @property
    def condition(self) -> str:
        """SQL about `cases c`, with the names of `parameters`."""
        conditions = ["c.store = :store"]
        if self.team is not None:
            conditions.append("c.team IS NULL" if self.team == NO_TEAM else "c.team = :team")
        if self.priority is not None:
            conditions.append("c.priority = :priority")
        return " AND ".join(conditions)

    @property
    def parameters(self) -> dict[str, Any]:
        named = self.team is not None and self.team != NO_TEAM
        return (
            {"store": self.store}
            | ({"team": self.team} if named else {})
            | ({"priority": self.priority.value} if self.priority else {})
        )


@dataclass(frozen=True, slots=True)
class Contacts:
    """The cases opened in the period and how their clocks went, in seconds of each case's own clock.

    Dismissed cases count as opened only. `*_due`: cases whose clock is decided, because it was met or ran
    out. `bars`: cases by the hours of FIRST_CONTACT_HOURS; the last bar holds all that took longer.
    """

    opened: int
    contact_due: int
    contact_in_time: int
    resolve_due: int
    resolve_in_time: int
    business: int
    contacted: int
    median: float | None
    nine_of_ten: float | None
    bars: tuple[int, ...]


CONTACT_DUE = (
    "c.status <> 'dismissed'"
    " AND (c.first_contact_at IS NOT NULL"
    " OR coalesce(c.closed_at, CAST(:now AS timestamptz)) > c.first_contact_due_at)"
)
RESOLVE_DUE = (
    "c.status <> 'dismissed' AND (coalesce(c.resolved_at, c.closed_at) IS NOT NULL"
    " OR (c.status <> 'snoozed' AND CAST(:now AS timestamptz) > c.resolve_due_at))"
)


async def contacts(session: Session, scope: Scope, start: datetime, end: datetime, now: datetime) -> Contacts:
    """Of the cases that were opened in the period; `now` decides which clocks have run out."""
    bars = ", ".join(
        "count(*) FILTER (WHERE c.status <> 'dismissed'"
        f" AND width_bucket(c.first_contact_seconds, CAST(:edges AS float8[])) = {place})"
        for place in range(len(FIRST_CONTACT_HOURS) + 1)
    )
    rows = await session.execute(
        text(f"""SELECT count(*) AS opened,
                   count(*) FILTER (WHERE {CONTACT_DUE}) AS contact_due,
                   count(*) FILTER (WHERE {CONTACT_DUE} AND c.first_contact_at <= c.first_contact_due_at)
                       AS contact_in_time,
                   count(*) FILTER (WHERE {RESOLVE_DUE}) AS resolve_due,
                   count(*) FILTER (WHERE {RESOLVE_DUE}
                       AND coalesce(c.resolved_at, c.closed_at) <= c.resolve_due_at) AS resolve_in_time,
                   count(*) FILTER (WHERE c.status <> 'dismissed' AND c.clock = 'business') AS business,
                   percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY c.first_contact_seconds)
                       FILTER (WHERE c.status <> 'dismissed') AS percentiles,
                   ARRAY[{bars}] AS bars
                 FROM notifier.cases c
                 WHERE {scope.condition} AND c.opened_at >= :start AND c.opened_at < :end"""),
        scope.parameters
        | {"start": start, "end": end, "now": now, "edges": [3600.0 * h for h in FIRST_CONTACT_HOURS]},
    )
    row = rows.one()
    median, nine_of_ten = row.percentiles or (None, None)
    return Contacts(
        opened=row.opened,
        contact_due=row.contact_due,
        contact_in_time=row.contact_in_time,
        resolve_due=row.resolve_due,
        resolve_in_time=row.resolve_in_time,
        business=row.business,
        contacted=sum(row.bars),
        median=median,
        nine_of_ten=nine_of_ten,
        bars=tuple(row.bars),
    )


@dataclass(frozen=True, slots=True)
class OpenNow:
    """The cases that are open at a moment. `ages`: how many, by the names of AGE_HOURS."""

    open: int
    unassigned: int
    ages: dict[str, int]


async def open_now(session: Session, scope: Scope, now: datetime) -> OpenNow:
    edges = [3600.0 * hours for hours in AGE_HOURS.values() if hours]
    rows = await session.execute(
        text(f"""SELECT width_bucket(
                            CAST(extract(epoch FROM CAST(:now AS timestamptz) - c.opened_at) AS float8),
                            CAST(:edges AS float8[])) AS age,
                        count(*) AS n, count(*) FILTER (WHERE c.owner IS NULL) AS unassigned
                 FROM notifier.cases c WHERE {scope.condition} AND {IS_LIVE} GROUP BY 1"""),
        scope.parameters | {"now": now, "edges": edges},
    )
    by_age = {row.age: row for row in rows}
    ages = {name: by_age[index].n if index in by_age else 0 for index, name in enumerate(AGE_HOURS)}
    return OpenNow(sum(ages.values()), sum(row.unassigned for row in by_age.values()), ages)


def closings(scope: Scope) -> str:
    """SQL that selects the last closing of each case within [:start, :end), with the moment of the first."""
    return f"""SELECT DISTINCT ON (h.case_id) h.case_id, h.at, h.detail ->> 'root_cause' AS cause,
                      h.detail ->> 'outcome' AS outcome, c.owner, c.metric, c.customer_ref, c.resolve_seconds,
                      min(h.at) OVER (PARTITION BY h.case_id) AS first_at
               FROM notifier.history h JOIN notifier.cases c USING (case_id)
               WHERE h.what = 'closed' AND h.at >= :start AND h.at < :end AND {scope.condition}
               ORDER BY h.case_id, h.at DESC"""


@dataclass(frozen=True, slots=True)
class Ended:
    """The cases that ended in the period, in seconds of each case's own clock.

    `reopened`: those of the closed cases that were opened again before the end of the period.
    """

    closed: int
    reopened: int
    dismissed: int
    median: float | None
    nine_of_ten: float | None


async def ended(session: Session, scope: Scope, start: datetime, end: datetime) -> Ended:
    """Of the cases that were closed or dismissed in the period."""
    rows = await session.execute(
        text(f"""WITH closing AS ({closings(scope)})
                 SELECT count(*) AS closed,
                        count(*) FILTER (WHERE EXISTS (
                            SELECT FROM notifier.history r WHERE r.case_id = closing.case_id
                            AND r.what = 'reopened' AND r.at >= closing.first_at AND r.at < :end))
                            AS reopened,
                        percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY resolve_seconds)
                            AS percentiles,
                        (SELECT count(DISTINCT h.case_id) FROM notifier.history h
                         JOIN notifier.cases c USING (case_id)
                         WHERE h.what = 'dismissed' AND h.at >= :start AND h.at < :end
                               AND {scope.condition}) AS dismissed
                 FROM closing"""),
        scope.parameters | {"start": start, "end": end},
    )
    row = rows.one()
    median, nine_of_ten = row.percentiles or (None, None)
    return Ended(row.closed, row.reopened, row.dismissed, median, nine_of_ten)


async def reopenings(session: Session, scope: Scope, start: datetime, end: datetime) -> int:
    """How many cases were opened again in the period, whenever they had been closed."""
    count = await session.execute(
        text(f"""SELECT count(DISTINCT h.case_id) FROM notifier.history h
                 JOIN notifier.cases c USING (case_id)
                 WHERE h.what = 'reopened' AND h.at >= :start AND h.at < :end AND {scope.condition}"""),
        scope.parameters | {"start": start, "end": end},
    )
    return int(count.scalar_one())


async def closings_by_cause_and_outcome(
    session: Session, scope: Scope, start: datetime, end: datetime
) -> dict[tuple[str, str], int]:
    """How many cases were closed, by (root cause, outcome); "" for none given."""
    rows = await session.execute(
        text(f"""WITH closing AS ({closings(scope)})
                 SELECT coalesce(cause, '') AS cause, coalesce(outcome, '') AS outcome, count(*) AS n
                 FROM closing GROUP BY 1, 2"""),
        scope.parameters | {"start": start, "end": end},
    )
    return {(row.cause, row.outcome): row.n for row in rows}


async def causes_by_month(
    session: Session, scope: Scope, months: Sequence[tuple[datetime, datetime]]
) -> list[dict[str, int]]:
    """How many cases were closed in each of these months, by root cause. The months follow one another."""
    rows = await session.execute(
        text(f"""SELECT month, cause, count(*) AS n FROM (
                     SELECT DISTINCT ON (month, h.case_id) h.case_id,
                            width_bucket(h.at, CAST(:starts AS timestamptz[])) AS month,
                            coalesce(h.detail ->> 'root_cause', '') AS cause
                     FROM notifier.history h JOIN notifier.cases c USING (case_id)
                     WHERE h.what = 'closed' AND h.at >= :start AND h.at < :end AND {scope.condition}
                     ORDER BY month, h.case_id, h.at DESC) closing
                 GROUP BY 1, 2"""),
        scope.parameters
        | {"start": months[0][0], "end": months[-1][1], "starts": [start for start, _ in months]},
    )
    by_month: list[dict[str, int]] = [{} for _ in months]
    for row in rows:
        by_month[row.month - 1][row.cause] = row.n
    return by_month


async def proved_recoveries(
    session: Session, scope: Scope, start: datetime, end: datetime
) -> tuple[int, int]:
    """(recovered, answered again), of the closed cases.

    The customer's next answer of the same metric after the closing decides: recovered is who is no
    detractor any more.
    """
    rows = await session.execute(
        text(f"""WITH closing AS ({closings(scope)})
                 SELECT count(*) FILTER (WHERE next.grp <> 'detractor') AS recovered, count(*) AS answered
                 FROM closing CROSS JOIN LATERAL (
                     SELECT a.grp FROM notifier.answers a
                     WHERE a.store = :store AND a.customer_ref = closing.customer_ref
                           AND a.answered_at > closing.at AND a.grp IS NOT NULL AND NOT a.retracted
                           AND (closing.metric IS NULL OR a.metric = closing.metric)
                     ORDER BY a.answered_at, a.response_id LIMIT 1) next"""),
        scope.parameters | {"start": start, "end": end},
    )
    row = rows.one()
    return row.recovered, row.answered


_MOST_OWNERS = 500


@dataclass(frozen=True, slots=True)
class OwnerLoad:
    """The cases that one owner has and had; `owner` of None: cases of nobody.

    `median`: of the time to the first contact, in seconds of each case's own clock.
    """

    owner: str | None
    open: int
    closed: int
    contact_due: int
    contact_in_time: int
    median: float | None


async def owner_loads(
    session: Session, scope: Scope, start: datetime, end: datetime, now: datetime
) -> list[OwnerLoad]:
    """By owner, the largest load first.

    `open` is of now, `closed` of the period; the share in time and the median are of the cases opened in it.
    """
    rows = await session.execute(
        text(f"""WITH closing AS ({closings(scope)}),
                 part AS (
                     SELECT c.owner, count(*) AS open, 0 AS closed, 0 AS due, 0 AS in_time,
                            CAST(NULL AS float8) AS median
                     FROM notifier.cases c WHERE {scope.condition} AND {IS_LIVE} GROUP BY c.owner
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
        scope.parameters | {"start": start, "end": end, "now": now},
    )
    return [OwnerLoad(**row._asdict()) for row in rows]


@dataclass(frozen=True, slots=True)
class ChannelDeliveries:
    """The alerts of one channel that were made in the period, without those that were cancelled.

    `digested`: sent in one message with others. `median` and `slowest` (99 of 100 are faster): seconds from
    the first attempt to the delivery, because waiting for a comment or for the morning is not slowness.
    """

    channel: str
    alerts_made: int
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


async def channel_deliveries(
    session: Session, store: str, start: datetime, end: datetime
) -> list[ChannelDeliveries]:
    """By channel, of the alerts of the whole store."""
    rows = await session.execute(
        text("""SELECT channel, count(*) AS alerts_made,
                       count(*) FILTER (WHERE state = 'sent') AS delivered,
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
    return [ChannelDeliveries(**row._asdict()) for row in rows]


# Customers who were erased cannot be informed.
_TO_INFORM = f"""c.status = 'closed' AND c.told_at IS NULL AND c.closed_at >= :start AND c.closed_at < :end
    AND NOT starts_with(c.customer_ref, '{ERASED}')"""
_TO_INFORM_OF_CAUSE = f"{_TO_INFORM} AND c.root_cause = :cause"


@dataclass(frozen=True, slots=True)
class CustomerToInform:
    """A closed case whose customer was not told yet what changed about its root cause."""

    case_id: str
    number: int
    customer_ref: str
    response_id: str
    closed_at: datetime
    outcome: str | None
    owner: str | None


async def count_customers_to_inform(
    session: Session, scope: Scope, start: datetime, end: datetime
) -> dict[str, int]:
    """How many customers are to be informed, by root cause: of cases closed in the period and since."""
    rows = await session.execute(
        text(f"""SELECT c.root_cause AS cause, count(DISTINCT c.customer_ref) AS n FROM notifier.cases c
                 WHERE {_TO_INFORM} AND c.root_cause IS NOT NULL AND {scope.condition}
                 GROUP BY c.root_cause"""),
        scope.parameters | {"start": start, "end": end},
    )
    return {row.cause: row.n for row in rows}


async def customers_to_inform(
    session: Session,
    scope: Scope,
    cause: str,
    start: datetime,
    end: datetime,
    *,
    after: str = "",
    limit: int,
) -> list[CustomerToInform]:
    """The cases of a root cause whose customers are to be informed, by case id, after the id `after`.

    A customer with several such cases has each of them in the list.
    """
    rows = await session.execute(
        text(f"""SELECT c.case_id, c.number, c.customer_ref, c.response_id, c.closed_at, c.outcome, c.owner
                 FROM notifier.cases c
                 WHERE {scope.condition} AND {_TO_INFORM_OF_CAUSE} AND c.case_id > :after
                 ORDER BY c.case_id LIMIT :limit"""),
        scope.parameters | {"cause": cause, "start": start, "end": end, "after": after, "limit": limit},
    )
    return [CustomerToInform(**row._asdict()) for row in rows]


async def mark_customers_informed(
    session: Session, scope: Scope, cause: str, start: datetime, end: datetime, *, who: str, now: datetime
) -> int:
    """Write into each case of a root cause that its customer was told, by whom and when; returns how many.

    A case that was marked before is not marked again, so that a repeat changes nothing.
    """
    inserted = await session.execute(
        text(f"""WITH held AS (
                     SELECT c.case_id FROM notifier.cases c WHERE {scope.condition} AND {_TO_INFORM_OF_CAUSE}
                     ORDER BY c.case_id FOR UPDATE OF c),
                 marked AS (
                     UPDATE notifier.cases c
                     SET told_at = :now, version = c.version + 1, changed_at = clock_timestamp()
                     FROM held WHERE c.case_id = held.case_id RETURNING c.case_id, c.version)
                 INSERT INTO notifier.history (case_id, at, who, what, detail, version)
                 SELECT case_id, :now, :who, 'told', CAST(:detail AS jsonb), version FROM marked"""),
        scope.parameters
        | {
            "cause": cause,
            "start": start,
            "end": end,
            "who": who,
            "now": now,
            "detail": orjson.dumps({"root_cause": cause}).decode(),
        },
    )
    return inserted.rowcount
