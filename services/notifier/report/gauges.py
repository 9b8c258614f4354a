"""The metrics of cases, from one replica, counted from rows."""

from collections import Counter
from collections.abc import Iterable

from services.notifier.deliveries import holds
from services.notifier.deliveries.holds import Why
from services.notifier.store import figures
from shared.db import Database
from shared.jobs.rounds import Leased
from shared.ops import metrics

_NO_TEAM = "none"
_OTHER_TEAM = "other"
_BREACHES_AT_ONCE = 5000


class CaseFigures(Leased):
    """Counts open cases, clocks that ran out, first contacts, closings and reopenings; shows what is held.

    `teams`: those of the configuration; any other is `other`, so that labels stay few. Totals are those of
    the rows, so a restart or another replica goes on from where the last one was.
    """

    def __init__(
        self,
        database: Database,
        teams: Iterable[str],
        *,
        every_seconds: float = 15,
        lag_seconds: float = figures.LAG_SECONDS,
    ) -> None:
        super().__init__(database, "notifier", "figures", every_seconds=every_seconds, busy_share=0.02)
        self._teams = frozenset(teams)
        self._lag = lag_seconds
        self._shown: Counter[str] = Counter()

    async def work(self) -> None:
        async with self._database.transaction() as session:
            breaches = await figures.count_breaches(session, _BREACHES_AT_ONCE)
            moments = await figures.moments(session, lag_seconds=self._lag)
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
            found = await figures.open_cases(session)
        self._show(found)

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

    def _show(self, found: Iterable[figures.Open]) -> None:
        counts: Counter[tuple[str, str, str]] = Counter()
        for one in found:
            team = one.team if one.team in self._teams else (_OTHER_TEAM if one.team else _NO_TEAM)
            counts[one.priority, team, one.age] += one.count
        metrics.CASES_OPEN.clear()
        for labels, count in counts.items():
            metrics.CASES_OPEN.labels(*labels).set(count)
