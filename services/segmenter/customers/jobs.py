"""Customers as they are published."""

from collections.abc import Sequence
from datetime import UTC, datetime

from services.segmenter.customers import store
from services.segmenter.customers.store import Forgotten, Untold
from services.segmenter.facts.store import CustomerKey
from services.segmenter.tiers.domain.ruling import FROM_THE_START, spells
from shared.db import Session
from shared.events.customers import CustomerChanged, TierSpell
from shared.kafka import State
from shared.ops import metrics

_SPELLS_PUBLISHED = 20


class CustomerSource:
    """Customers as a StateSource: rows whose `seq` is above their `published_seq`."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds

    async def prepare(self, session: Session) -> None:
        """Nothing to bring up to date: the tier clock does. Measures what waits."""
        pending, oldest = await store.backlog(session)
        metrics.OUTBOX_PENDING.set(pending)
        metrics.OUTBOX_AGE.set(max(0.0, (datetime.now(UTC) - oldest).total_seconds()) if oldest else 0)

    async def unpublished(self, session: Session, limit: int) -> list[State]:
        gone = await store.forgotten(session, limit=limit)
        news = await store.untold(session, interval_seconds=self._interval, limit=limit)
        ends = [State(one, one.seq, _end(one), one.traceparent, ends=True) for one in gone]
        return ends + [
            State(one.key, one.seq, _event(one), one.traceparent) for one in news[: limit - len(ends)]
        ]

    async def published(self, session: Session, states: Sequence[State]) -> None:
        await store.told(session, _marks(states))
        await store.ended(session, _ends(states))

    async def unpublish(self, session: Session, states: Sequence[State]) -> None:
        # An end that lands late takes what was told after it with it.
        await store.untell(session, _marks(states) + _ends(states))


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
