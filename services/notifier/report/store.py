"""What the report counts. What ended is read from the history, so a closed month does not change again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from services.notifier.cases.domain.rules import Priority
from services.notifier.report.domain import AGE_HOURS, FIRST_CONTACT_HOURS
from shared.db import Session

NO_TEAM = "none"

LIVE = "c.status NOT IN ('closed', 'dismissed')"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which cases: of a store, and perhaps of one team (`none`: of no team) or one priority."""

    store: str
    team: str | None = None
    priority: Priority | None = None

    @property
    def condition(self) -> str:
        conditions = ["c.store = :store"]
        if self.team is not None:
            conditions.append("c.team IS NULL" if self.team == NO_TEAM else "c.team = :team")
        if self.priority is not None:
            conditions.append("c.priority = :priority")
        return " AND ".join(conditions)

    @property
    def given(self) -> dict[str, Any]:
        named = self.team is not None and self.team != NO_TEAM
        return (
            {"store": self.store}
            | ({"team": self.team} if named else {})
            | ({"priority": self.priority.value} if self.priority else {})
        )


@dataclass(frozen=True, slots=True)
class Contacts:
    """Cases opened in the period; of their clocks, each its own, without dismissed ones.

    `due`: those whose clock has decided: done, or run out. `bars`: by FIRST_CONTACT_HOURS, the last is open.
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
        scope.given
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
    """Cases that are open at this moment. `ages`: by AGE_HOURS."""

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
                 FROM notifier.cases c WHERE {scope.condition} AND {LIVE} GROUP BY 1"""),
        scope.given | {"now": now, "edges": edges},
    )
    found = {row.age: row for row in rows}
    ages = {name: found[place].n if place in found else 0 for place, name in enumerate(AGE_HOURS)}
    return OpenNow(sum(ages.values()), sum(row.unassigned for row in found.values()), ages)


def closings(scope: Scope) -> str:
    """SQL: the last closing of each case within [:start, :end), and the first one of them."""
    return f"""SELECT DISTINCT ON (h.case_id) h.case_id, h.at, h.detail ->> 'root_cause' AS cause,
                      h.detail ->> 'outcome' AS outcome, c.owner, c.metric, c.customer_ref, c.resolve_seconds,
                      min(h.at) OVER (PARTITION BY h.case_id) AS first_at
               FROM notifier.history h JOIN notifier.cases c USING (case_id)
               WHERE h.what = 'closed' AND h.at >= :start AND h.at < :end AND {scope.condition}
               ORDER BY h.case_id, h.at DESC"""


@dataclass(frozen=True, slots=True)
class Ended:
    """What ended in the period. `reopened`: of those closed, opened again before the period's end."""

    closed: int
    reopened: int
    dismissed: int
    median: float | None
    nine_of_ten: float | None


async def ended(session: Session, scope: Scope, start: datetime, end: datetime) -> Ended:
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
        scope.given | {"start": start, "end": end},
    )
    row = rows.one()
    median, nine_of_ten = row.percentiles or (None, None)
    return Ended(row.closed, row.reopened, row.dismissed, median, nine_of_ten)


async def reopenings(session: Session, scope: Scope, start: datetime, end: datetime) -> int:
    """How many cases were opened again in the period, whenever they had been closed."""
    found = await session.execute(
        text(f"""SELECT count(DISTINCT h.case_id) FROM notifier.history h
                 JOIN notifier.cases c USING (case_id)
                 WHERE h.what = 'reopened' AND h.at >= :start AND h.at < :end AND {scope.condition}"""),
        scope.given | {"start": start, "end": end},
    )
    return int(found.scalar_one())


async def endings(
    session: Session, scope: Scope, start: datetime, end: datetime
) -> dict[tuple[str, str], int]:
    """Closed cases by (root cause, outcome)."""
    rows = await session.execute(
        text(f"""WITH closing AS ({closings(scope)})
                 SELECT coalesce(cause, '') AS cause, coalesce(outcome, '') AS outcome, count(*) AS n
                 FROM closing GROUP BY 1, 2"""),
        scope.given | {"start": start, "end": end},
    )
    return {(row.cause, row.outcome): row.n for row in rows}


async def causes_by_month(
    session: Session, scope: Scope, months: Sequence[tuple[datetime, datetime]]
) -> list[dict[str, int]]:
    """Closed cases by root cause in each of these months, which follow one another."""
    rows = await session.execute(
        text(f"""SELECT month, cause, count(*) AS n FROM (
                     SELECT DISTINCT ON (month, h.case_id) h.case_id,
                            width_bucket(h.at, CAST(:starts AS timestamptz[])) AS month,
                            coalesce(h.detail ->> 'root_cause', '') AS cause
                     FROM notifier.history h JOIN notifier.cases c USING (case_id)
                     WHERE h.what = 'closed' AND h.at >= :start AND h.at < :end AND {scope.condition}
                     ORDER BY month, h.case_id, h.at DESC) closing
                 GROUP BY 1, 2"""),
        scope.given | {"start": months[0][0], "end": months[-1][1], "starts": [start for start, _ in months]},
    )
    found: list[dict[str, int]] = [{} for _ in months]
    for row in rows:
        found[row.month - 1][row.cause] = row.n
    return found


async def proved(session: Session, scope: Scope, start: datetime, end: datetime) -> tuple[int, int]:
    """(recovered, answered again): by the customer's next answer of the same metric after the closing."""
    rows = await session.execute(
        text(f"""WITH closing AS ({closings(scope)})
                 SELECT count(*) FILTER (WHERE next.grp <> 'detractor') AS recovered, count(*) AS answered
                 FROM closing CROSS JOIN LATERAL (
                     SELECT a.grp FROM notifier.answers a
                     WHERE a.store = :store AND a.customer_ref = closing.customer_ref
                           AND a.answered_at > closing.at AND a.grp IS NOT NULL AND NOT a.retracted
                           AND (closing.metric IS NULL OR a.metric = closing.metric)
                     ORDER BY a.answered_at, a.response_id LIMIT 1) next"""),
        scope.given | {"start": start, "end": end},
    )
    row = rows.one()
    return row.recovered, row.answered
