"""The metrics of cases: one replica at a time counts them from rows and shows them.

Totals are kept in rows, so that no crash loses or doubles one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from services.notifier.cases.domain.case import ENDED, Status
from services.notifier.cases.store.cases import IS_LIVE, status_outside
from services.notifier.deliveries import holds
from services.notifier.deliveries.holds import Why
from services.notifier.report.domain import AGE_HOURS
from shared.db import Database, Session
from shared.jobs.rounds import LeasedClockJob
from shared.ops import metrics

LAG_SECONDS: Final = 30
"""A moment is counted so long after it, when every transaction that wrote about it has ended."""

_NAMES: Final = tuple(AGE_HOURS)


@dataclass(frozen=True, slots=True)
class OpenCases:
    """How many cases of a priority, a team and an age are open now; `team` of "": of no team."""

    priority: str
    team: str
    age: str
    count: int


async def open_cases(session: Session) -> list[OpenCases]:
    """Of all stores, by priority, team and age: read from one index of open cases alone."""
    hours = [hours for hours in AGE_HOURS.values() if hours]
    rows = await session.execute(
        text(f"""WITH edge AS MATERIALIZED (
                    SELECT array_agg(now() - make_interval(hours => h) ORDER BY h DESC) AS ages
                    FROM unnest(CAST(:hours AS int[])) h)
                SELECT priority, coalesce(team, '') AS team,
                       width_bucket(opened_at, (SELECT ages FROM edge)) AS age, count(*) AS n
                FROM notifier.cases c WHERE {IS_LIVE} GROUP BY 1, 2, 3"""),
        {"hours": hours},
    )
    return [OpenCases(row.priority, row.team, _NAMES[len(hours) - row.age], row.n) for row in rows]


_BREACHES: Final = {
    "first_contact": f"""
        UPDATE notifier.cases SET first_contact_breached = true WHERE case_id IN (
            SELECT case_id FROM notifier.cases c
            WHERE NOT first_contact_breached AND (first_contact_at > first_contact_due_at
                  OR (first_contact_at IS NULL AND {IS_LIVE}))
                  AND first_contact_due_at < now()
            ORDER BY first_contact_due_at LIMIT :limit FOR UPDATE SKIP LOCKED)""",
    "resolve": f"""
        UPDATE notifier.cases SET resolve_breached = reopened + 1 WHERE case_id IN (
            SELECT case_id FROM notifier.cases c
            WHERE resolve_breached <= reopened AND (resolved_at > resolve_due_at
                  OR (resolved_at IS NULL AND {status_outside({*ENDED, Status.SNOOZED})}))
                  AND resolve_due_at < now()
            ORDER BY resolve_due_at LIMIT :limit FOR UPDATE SKIP LOCKED)""",
}


async def count_breaches(session: Session, limit: int) -> dict[str, int]:
    """Count the clocks that ran out, once for each time that a case was opened; returns the totals so far."""
    totals = {}
    for clock, statement in _BREACHES.items():
        updated = await session.execute(text(statement), {"limit": limit})
        totals[clock] = await _add(session, f"breach:{clock}", updated.rowcount)
    return totals


async def _add(session: Session, name: str, count: int) -> int:
    """Add to a total that is kept in a row; returns the total."""
    total = await session.execute(
        text("""INSERT INTO notifier.tallies AS t (name, total) VALUES (:name, :count)
                ON CONFLICT (name) DO UPDATE SET total = t.total + excluded.total RETURNING total"""),
        {"name": name, "count": count},
    )
    return int(total.scalar_one())


@dataclass(frozen=True, slots=True)
class Moments:
    """What happened since the last count: (priority, seconds of the case's own clock), and reopenings."""

    first_contacts: Sequence[tuple[str, float]]
    closings: Sequence[tuple[str, float]]
    reopened: int
    """All reopenings so far."""


async def read_moments(session: Session, *, lag_seconds: float = LAG_SECONDS) -> Moments:
    """From where the last count ended up to `lag_seconds` ago. The first count finds nothing."""
    rows = await session.execute(
        text("""INSERT INTO notifier.tallies AS t (name, upto)
                VALUES ('moments', now() - make_interval(secs => :lag))
                ON CONFLICT (name) DO UPDATE SET upto = greatest(t.upto, excluded.upto)
                RETURNING upto, (SELECT upto FROM notifier.tallies WHERE name = 'moments') AS after"""),
        {"lag": lag_seconds},
    )
    upto, after = rows.one()
    if after is None:
        return Moments((), (), await _add(session, "reopened", 0))
    entries = (await session.execute(text(_ENTRIES), {"after": after, "upto": upto})).all()
    reopened = await _add(session, "reopened", sum(row.what == "reopened" for row in entries))
    return Moments(_seconds(entries, "contacted"), _seconds(entries, "closed"), reopened)


def _seconds(rows: Sequence[object], what: str) -> list[tuple[str, float]]:
    return [
        (row.priority, row.seconds)  # type: ignore[attr-defined]
        for row in rows
        if row.what == what and row.seconds is not None  # type: ignore[attr-defined]
    ]


_ENTRIES: Final = """
    SELECT h.what, c.priority, CASE h.what WHEN 'contacted' THEN c.first_contact_seconds
                                           WHEN 'closed' THEN c.resolve_seconds END AS seconds
    FROM notifier.history h JOIN notifier.cases c USING (case_id)
    WHERE h.what IN ('contacted', 'closed', 'reopened') AND h.at > :after AND h.at <= :upto
          AND (h.what <> 'contacted' OR NOT EXISTS (
              SELECT FROM notifier.history e
              WHERE e.case_id = h.case_id AND e.what = 'contacted' AND e.id < h.id))"""


_NO_TEAM = "none"
_OTHER_TEAM = "other"
_BREACHES_AT_ONCE = 5000


class CaseGauges(LeasedClockJob):
    """Counts open cases, clocks that ran out, first contacts, closings, reopenings and holds of deliveries.

    `teams`: those of the configuration; any other is `other`, so that labels stay few. Totals are those of
    the rows, so a restart or another replica goes on from where the last one was.
    """

    def __init__(
        self,
        database: Database,
        teams: Iterable[str],
        *,
        every_seconds: float = 15,
        lag_seconds: float = LAG_SECONDS,
    ) -> None:
        super().__init__(database, "notifier", "figures", every_seconds=every_seconds, busy_share=0.02)
        self._teams = frozenset(teams)
        self._lag = lag_seconds
        self._shown: Counter[str] = Counter()

    async def work(self) -> None:
        async with self._database.transaction() as session:
            breaches = await count_breaches(session, _BREACHES_AT_ONCE)
            moments = await read_moments(session, lag_seconds=self._lag)
            held = await holds.held(session)
        for why in Why:
            metrics.DELIVERIES_HELD.labels(why.value).set(why in held)
        for clock, total in breaches.items():
            metrics.CASE_BREACHES.labels(clock).inc(self._more(f"breach:{clock}", total))
        metrics.CASES_REOPENED.inc(self._more("reopened", moments.reopened))
        for priority, seconds in moments.first_contacts:
            metrics.CASE_FIRST_CONTACT.labels(priority).observe(seconds)
        for priority, seconds in moments.closings:
            metrics.CASE_CLOSE.labels(priority).observe(seconds)
        async with self._database.snapshot() as session:
            groups = await open_cases(session)
        self._show(groups)

    def idle(self) -> None:
        """Another replica shows them; nothing must be counted in two places."""
        metrics.CASES_OPEN.clear()
        metrics.DELIVERIES_HELD.clear()
        metrics.CASE_BREACHES.clear()
        metrics.CASES_REOPENED.reset()
        self._shown.clear()

    def _more(self, name: str, total: int) -> int:
        """By how much a total rose since it was last shown here."""
        rose = max(0, total - self._shown[name])
        self._shown[name] = max(total, self._shown[name])
        return rose

    def _show(self, groups: Iterable[OpenCases]) -> None:
        counts: Counter[tuple[str, str, str]] = Counter()
        for group in groups:
            team = group.team if group.team in self._teams else (_OTHER_TEAM if group.team else _NO_TEAM)
            counts[group.priority, team, group.age] += group.count
        metrics.CASES_OPEN.clear()
        for labels, count in counts.items():
            metrics.CASES_OPEN.labels(*labels).set(count)
