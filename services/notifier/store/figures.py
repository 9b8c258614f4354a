"""What the metrics of cases are made of. Totals are kept in rows, so that no crash loses or doubles one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from services.notifier.report.domain import AGE_HOURS
from shared.db import Session

LAG_SECONDS: Final = 30
"""A moment is counted so long after it, when every transaction that wrote about it has ended."""

_NAMES: Final = tuple(AGE_HOURS)


@dataclass(frozen=True, slots=True)
class Open:
    """Cases open now; `team` of "" is none."""

    priority: str
    team: str
    age: str
    count: int


async def open_cases(session: Session) -> list[Open]:
    """Of all stores, by priority, team and age: read from one index of open cases alone."""
    hours = [hours for hours in AGE_HOURS.values() if hours]
    rows = await session.execute(
        text("""WITH edge AS MATERIALIZED (
                    SELECT array_agg(now() - make_interval(hours => h) ORDER BY h DESC) AS ages
                    FROM unnest(CAST(:hours AS int[])) h)
                SELECT priority, coalesce(team, '') AS team,
                       width_bucket(opened_at, (SELECT ages FROM edge)) AS age, count(*) AS n
                FROM notifier.cases WHERE status NOT IN ('closed', 'dismissed') GROUP BY 1, 2, 3"""),
        {"hours": hours},
    )
    return [Open(row.priority, row.team, _NAMES[len(hours) - row.age], row.n) for row in rows]


_BREACHES: Final = {
    "first_contact": """
        UPDATE notifier.cases SET first_contact_breached = true WHERE case_id IN (
            SELECT case_id FROM notifier.cases
            WHERE NOT first_contact_breached AND (first_contact_at > first_contact_due_at
                  OR (first_contact_at IS NULL AND status NOT IN ('closed', 'dismissed')))
                  AND first_contact_due_at < now()
            ORDER BY first_contact_due_at LIMIT :limit FOR UPDATE SKIP LOCKED)""",
    "resolve": """
        UPDATE notifier.cases SET resolve_breached = reopened + 1 WHERE case_id IN (
            SELECT case_id FROM notifier.cases
            WHERE resolve_breached <= reopened AND (resolved_at > resolve_due_at
                  OR (resolved_at IS NULL AND status NOT IN ('closed', 'dismissed', 'snoozed')))
                  AND resolve_due_at < now()
            ORDER BY resolve_due_at LIMIT :limit FOR UPDATE SKIP LOCKED)""",
}


async def count_breaches(session: Session, limit: int) -> dict[str, int]:
    """Count each clock that ran out, once for each time that the case was opened; returns the totals ever."""
    totals = {}
    for clock, statement in _BREACHES.items():
        done = await session.execute(text(statement), {"limit": limit})
        totals[clock] = await _add(session, f"breach:{clock}", done.rowcount)
    return totals


async def _add(session: Session, name: str, count: int) -> int:
    found = await session.execute(
        text("""INSERT INTO notifier.tallies AS t (name, total) VALUES (:name, :count)
                ON CONFLICT (name) DO UPDATE SET total = t.total + excluded.total RETURNING total"""),
        {"name": name, "count": count},
    )
    return int(found.scalar_one())


@dataclass(frozen=True, slots=True)
class Moments:
    """What happened since the last look, in seconds of each case's own clock, with its priority."""

    first_contacts: Sequence[tuple[str, float]]
    closings: Sequence[tuple[str, float]]
    reopened: int
    """Reopenings ever counted."""


async def moments(session: Session, *, lag_seconds: float = LAG_SECONDS) -> Moments:
    """From where the last look ended up to `lag_seconds` ago. The first look sees nothing."""
    found = await session.execute(
        text("""INSERT INTO notifier.tallies AS t (name, upto)
                VALUES ('moments', now() - make_interval(secs => :lag))
                ON CONFLICT (name) DO UPDATE SET upto = greatest(t.upto, excluded.upto)
                RETURNING upto, (SELECT upto FROM notifier.tallies WHERE name = 'moments') AS after"""),
        {"lag": lag_seconds},
    )
    upto, after = found.one()
    if after is None:
        return Moments((), (), await _add(session, "reopened", 0))
    rows = (await session.execute(text(_HAPPENED), {"after": after, "upto": upto})).all()
    reopened = await _add(session, "reopened", sum(row.what == "reopened" for row in rows))
    return Moments(_seconds(rows, "contacted"), _seconds(rows, "closed"), reopened)


def _seconds(rows: Sequence[object], what: str) -> list[tuple[str, float]]:
    return [
        (row.priority, row.seconds)  # type: ignore[attr-defined]
        for row in rows
        if row.what == what and row.seconds is not None  # type: ignore[attr-defined]
    ]


_HAPPENED: Final = """
    SELECT h.what, c.priority, CASE h.what WHEN 'contacted' THEN c.first_contact_seconds
                                           WHEN 'closed' THEN c.resolve_seconds END AS seconds
    FROM notifier.history h JOIN notifier.cases c USING (case_id)
    WHERE h.what IN ('contacted', 'closed', 'reopened') AND h.at > :after AND h.at <= :upto
          AND (h.what <> 'contacted' OR NOT EXISTS (
              SELECT FROM notifier.history e
              WHERE e.case_id = h.case_id AND e.what = 'contacted' AND e.id < h.id))"""
