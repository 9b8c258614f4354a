"""The jobs of the tiers: the clock, which folds customers when time alone changes them, and the gauges."""

import contextlib
from collections.abc import Callable
from datetime import datetime

from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.erasing import LEDGER
from services.segmenter.tiers import store as tier_store
from services.segmenter.tiers.domain.ruling import RulesByStore
from services.segmenter.tiers.folding import Clock, refold, refold_pages, utc_now
from shared.db import Database, Lease, Session
from shared.jobs.rounds import RepeatedJob, backoff
from shared.ops import metrics
from shared.ops.logs import log

_log = log("segmenter")


async def fold_due(
    session: Session, rules_by_store: RulesByStore, *, now: datetime, limit: int
) -> tuple[int, int]:
    """Fold the customers that are due, at most `limit`; returns how many were folded, and how many changed.

    Customers whom another transaction has locked are left to it.
    """
    await LEDGER.share(session)
    keys = await tier_store.customers_due(session, rules_by_store, now, limit)
    changed = await refold(
        session, {key: Contact() for key in keys}, rules_by_store=rules_by_store, now=now, stale=keys
    )
    return len(keys), changed


class TierClock(RepeatedJob):
    """Folds customers when time alone may change them: at a midnight, at the end of an override, at the time
    of a fact that lies ahead.

    Row locks keep it right with any number of replicas; the lease only saves them from doing the work twice.
    When a replica first gets the lease, it folds the customers that were folded by other rules than today's.
    """

    def __init__(
        self,
        database: Database,
        rules_by_store: RulesByStore,
        *,
        batch: int,
        sleep_seconds: float,
        on_change: Callable[[], None] = lambda: None,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__("tier-clock", every_seconds=sleep_seconds)
        self._database = database
        self._rules = rules_by_store
        self._lease = Lease(database, "segmenter", self.name, grace_seconds=0)
        self._batch = batch
        self._sleep = sleep_seconds
        self._on_change = on_change
        self._clock = clock
        self._rules_adopted = False

    async def round(self) -> float:
        """Fold the customers that are due; returns the seconds until the next are, unless the bell rings
        before."""
        if not await self._lease.hold():
            return self._sleep
        if not self._rules_adopted:
            await self._adopt_rules()
        async with self._database.transaction() as session:
            seen, changed = await fold_due(session, self._rules, now=self._clock(), limit=self._batch)
        if seen:
            _log.info("tier_clock.folded", count=seen, records=changed)
            self._on_change()
            if seen == self._batch:
                return 0.0
        self.succeeded()
        async with self._database.transaction() as session:
            due = await tier_store.next_due(session, self._rules)
        if due is None:
            return self._sleep
        return min(self._sleep, max(0.05, (due - self._clock()).total_seconds()))

    def failed(self, failures: int) -> float:
        return backoff(failures)

    async def end(self) -> None:
        with contextlib.suppress(Exception):  # it runs out by itself
            await self._lease.release()

    async def _adopt_rules(self) -> None:
        for store in self._rules:
            pages = refold_pages(self._database, self._rules, store, self._clock, outdated_only=True)
            async for seen, changed in pages:
                _log.info("tier_clock.rules_adopted", store=store, count=seen, records=changed)
                self._on_change()
                if self._stopping or not await self._lease.hold():
                    return
        self._rules_adopted = True


class TierGauges:
    """Exports how many customers each tier has."""

    def __init__(self, database: Database, rules_by_store: RulesByStore) -> None:
        self._database = database
        self._rules = rules_by_store

    async def measure(self) -> None:
        for store, rules in self._rules.items():
            async with self._database.snapshot() as session:
                members = await tier_store.members_by_tier(session, store)
            for tier in rules.programme.tiers:
                metrics.CUSTOMERS.labels(store, tier.name).set(members.get(tier.name, 0))

    def forget(self) -> None:
        metrics.CUSTOMERS.clear()
