"""What the clock starts: tiers that time changes, customers that are published; and what operators start."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.segmenter.domain.contact import Contact
from services.segmenter.domain.ruling import FROM_THE_START, Rulebook, judge, spells
from services.segmenter.handlers import LEDGER, Clock, refold
from services.segmenter.store import customers, facts, publishing
from services.segmenter.store.facts import CustomerKey
from services.segmenter.store.publishing import Forgotten, Untold
from shared.db import Database, Lease, Session
from shared.events.customers import CustomerChanged, TierSpell
from shared.kafka import State
from shared.ops import metrics
from shared.ops.logs import log

_log = log("segmenter")

_SPELLS_PUBLISHED = 20
_PAGE = 500


def utc_now() -> datetime:
    return datetime.now(UTC)


class CustomerSource:
    """Customers as a StateSource: rows whose `seq` is above their `published_seq`."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds

    async def prepare(self, session: Session) -> None:
        """Nothing to bring up to date: the tier clock does. Measures what waits."""
        pending, oldest = await publishing.backlog(session)
        metrics.OUTBOX_PENDING.set(pending)
        metrics.OUTBOX_AGE.set(max(0.0, (utc_now() - oldest).total_seconds()) if oldest else 0)

    async def unpublished(self, session: Session, limit: int) -> list[State]:
        gone = await publishing.forgotten(session, limit=limit)
        news = await publishing.untold(session, interval_seconds=self._interval, limit=limit)
        ends = [State(one, one.seq, _end(one), one.traceparent, ends=True) for one in gone]
        return ends + [
            State(one.key, one.seq, _event(one), one.traceparent) for one in news[: limit - len(ends)]
        ]

    async def published(self, session: Session, states: Sequence[State]) -> None:
        await publishing.told(session, _marks(states))
        await publishing.ended(session, _ends(states))

    async def unpublish(self, session: Session, states: Sequence[State]) -> None:
        # An end that lands late takes what was told after it with it.
        await publishing.untell(session, _marks(states) + _ends(states))


def _marks(states: Sequence[State]) -> list[tuple[CustomerKey, int]]:
    return [(state.id, state.seq) for state in states if isinstance(state.id, CustomerKey)]


def _ends(states: Sequence[State]) -> list[tuple[CustomerKey, int]]:
    return [(state.id.key, state.seq) for state in states if isinstance(state.id, Forgotten)]


def _end(one: Forgotten) -> CustomerChanged:
    """A consumer that does not know `erased` yet reads a customer without a tier."""
    return CustomerChanged(store=one.key.store, customer_ref=one.key.ref, seq=one.seq, tier="", erased=True)


def _event(one: Untold) -> CustomerChanged:
    moves = spells(one.history) or [(one.tier, FROM_THE_START)]
    return CustomerChanged(
        store=one.key.store,
        customer_ref=one.key.ref,
        seq=one.seq,
        tier=one.tier,
        since=one.since,
        history=tuple(TierSpell(tier=tier, since=since) for tier, since in moves[-_SPELLS_PUBLISHED:]),
        tags=one.tags,
        reasons=(one.reason,),
        rule_version=one.rule_version,
    )


async def fold_due(session: Session, book: Rulebook, *, now: datetime, limit: int) -> tuple[int, int]:
    """Fold customers whose time has come: (looked at, changed). Those that another holds are left to it."""
    await LEDGER.share(session)
    keys = await customers.due(session, book, now, limit)
    changed = await refold(session, {key: Contact() for key in keys}, book=book, now=now, stale=keys)
    return len(keys), changed


class TierClock:
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
        self._database = database
        self._book = book
        self._lease = Lease(database, "segmenter", "tier-clock", grace_seconds=0)
        self._batch = batch
        self._sleep = sleep_seconds
        self._on_change = on_change
        self._clock = clock
        self._bell = asyncio.Event()
        self._stopping = False
        self._rules_adopted = False

    def ring(self) -> None:
        """Something may be due earlier than thought."""
        self._bell.set()

    async def stop(self) -> None:
        self._stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Until `stop`; a database that is away makes it wait, never end."""
        failures = 0
        while not self._stopping:
            self._bell.clear()
            try:
                wait = await self._round()
                failures = 0
            except Exception as error:  # the rows stay due
                failures += 1
                wait = min(5.0, 0.2 * 2 ** min(failures, 5)) * random.uniform(0.8, 1.2)
                _log.warning("tier_clock.failed", job=self._lease.name, attempt=failures, exc_info=error)
            if wait and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._bell.wait()
        with contextlib.suppress(Exception):  # it runs out by itself
            await self._lease.release()

    async def _round(self) -> float:
        """Fold what is due; returns how long nothing will be."""
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
        metrics.JOB_LAST_SUCCESS.labels(self._lease.name).set_to_current_time()
        async with self._database.transaction() as session:
            due = await customers.next_due(session, self._book)
        if due is None:
            return self._sleep
        return min(self._sleep, max(0.05, (due - self._clock()).total_seconds()))

    async def _adopt_rules(self) -> None:
        for store in self._book:
            pages = _rebuilt(self._database, self._book, store, self._clock, outdated_only=True)
            async for seen, changed in pages:
                _log.info("tier_clock.rules_adopted", store=store, count=seen, records=changed)
                self._on_change()
                if self._stopping or not await self._lease.hold():
                    return
        self._rules_adopted = True


@dataclass(frozen=True, slots=True)
class Rebuilt:
    seen: int
    changed: int


async def rebuild(
    database: Database,
    book: Rulebook,
    store: str | None = None,
    *,
    clock: Clock = utc_now,
    progress: Callable[[int], None] = lambda seen: None,
) -> Rebuilt:
    """Fold every customer of a store, or of all, from the stored facts. Harmless twice and in traffic."""
    seen = changed = 0
    for name in [store] if store is not None else book:
        async for page_seen, page_changed in _rebuilt(database, book, name, clock):
            seen, changed = seen + page_seen, changed + page_changed
            progress(seen)
    return Rebuilt(seen, changed)


async def _rebuilt(
    database: Database, book: Rulebook, store: str, clock: Clock, *, outdated_only: bool = False
) -> AsyncIterator[tuple[int, int]]:
    """Page by page: (folded, changed)."""
    other_than = book[store].programme.version if outdated_only else None
    after = ""
    while True:
        async with database.transaction() as session:
            await LEDGER.share(session)
            keys = await customers.page(session, store, after=after, limit=_PAGE, other_than=other_than)
            named = {key: Contact() for key in keys}
            changed = await refold(session, named, book=book, now=clock(), stale=keys)
        if not keys:
            return
        yield len(keys), changed
        after = keys[-1].ref


async def verify(database: Database, book: Rulebook, store: str | None = None) -> list[CustomerKey]:
    """Customers whose stored ruling is not the fold of their facts at the same instant; should be none."""
    wrong: list[CustomerKey] = []
    for name in [store] if store is not None else book:
        after = ""
        while True:
            async with database.snapshot() as session:
                keys = await customers.page(session, name, after=after, limit=_PAGE)
                rows = await customers.read(session, keys)
                records = await facts.of_customers(session, keys)
            if not keys:
                break
            for row in rows:
                _, ruling = judge(records[row.key], book[name], row.folded_at)
                if row.ruling != ruling:
                    wrong.append(row.key)
            after = keys[-1].ref
    return wrong


class TierGauges:
    """How many customers each tier has, for the metrics; see `shared.ops.gauges`."""

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
