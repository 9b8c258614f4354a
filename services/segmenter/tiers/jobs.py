"""Tiers that time alone changes."""

import contextlib
from collections.abc import Callable
from datetime import datetime

from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.erasing import LEDGER
from services.segmenter.tiers import store as customers
from services.segmenter.tiers.domain.ruling import Rulebook
from services.segmenter.tiers.folding import Clock, refold, refolded, utc_now
from shared.db import Database, Lease, Session
from shared.jobs.rounds import RepeatedJob, backoff
from shared.ops import metrics
from shared.ops.logs import log

_log = log("segmenter")


async def fold_due(session: Session, book: Rulebook, *, now: datetime, limit: int) -> tuple[int, int]:
    """Fold customers whose time has come: (looked at, changed). Those that another holds are left to it."""
    await LEDGER.share(session)
    keys = await customers.due(session, book, now, limit)
    changed = await refold(session, {key: Contact() for key in keys}, book=book, now=now, stale=keys)
    return len(keys), changed


class TierClock(RepeatedJob):
    """Folds customers when time alone may change them: a midnight, the end of an override, a fact ahead.

    Row locks keep it right with any number of replicas; the lease only keeps them from doing work twice.
    When it first gets the lease, it folds the customers that were folded by other rules than today's.
    """

    def __init__(
        self,
        database: Database,
        book: Rulebook,
        *,
        batch: int,
        sleep_seconds: float,
        on_change: Callable[[], None] = lambda: None,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__("tier-clock", every_seconds=sleep_seconds)
        self._database = database
        self._book = book
        self._lease = Lease(database, "segmenter", self.name, grace_seconds=0)
        self._batch = batch
        self._sleep = sleep_seconds
        self._on_change = on_change
        self._clock = clock
        self._rules_adopted = False

    async def round(self) -> float:
        """Fold what is due; returns how long nothing will be, unless the bell rings."""
        if not await self._lease.hold():
            return self._sleep
        if not self._rules_adopted:
            await self._adopt_rules()
        async with self._database.transaction() as session:
            seen, changed = await fold_due(session, self._book, now=self._clock(), limit=self._batch)
        if seen:
            _log.info("tier_clock.folded", count=seen, records=changed)
            self._on_change()
            if seen == self._batch:
                return 0.0
        self.succeeded()
        async with self._database.transaction() as session:
            due = await customers.next_due(session, self._book)
        if due is None:
            return self._sleep
        return min(self._sleep, max(0.05, (due - self._clock()).total_seconds()))

    def failed(self, failures: int) -> float:
        return backoff(failures)

    async def end(self) -> None:
        with contextlib.suppress(Exception):  # it runs out by itself
            await self._lease.release()

    async def _adopt_rules(self) -> None:
        for store in self._book:
            pages = refolded(self._database, self._book, store, self._clock, outdated_only=True)
            async for seen, changed in pages:
                _log.info("tier_clock.rules_adopted", store=store, count=seen, records=changed)
                self._on_change()
                if self._stopping or not await self._lease.hold():
                    return
        self._rules_adopted = True


# The tiers in the metrics.


class TierGauges:
    """How many customers each tier has, for the metrics; see `shared.jobs.rounds`."""

    def __init__(self, database: Database, book: Rulebook) -> None:
        self._database = database
        self._book = book

    async def measure(self) -> None:
        for store, rules in self._book.items():
            async with self._database.snapshot() as session:
                members = await customers.members(session, store)
            for tier in rules.programme.tiers:
                metrics.CUSTOMERS.labels(store, tier.name).set(members.get(tier.name, 0))

    def forget(self) -> None:
        metrics.CUSTOMERS.clear()
