"""Publishing customers: each change of tier or tags, and the end of an erased customer's state."""

from collections.abc import Sequence
from datetime import UTC, datetime

from services.segmenter.customers import store
from services.segmenter.customers.store import ErasedCustomer, UnpublishedCustomer
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
        """Export what waits. There is nothing to compute: the tier clock keeps the customers up to date."""
        pending, oldest = await store.backlog(session)
        metrics.OUTBOX_PENDING.set(pending)
        metrics.OUTBOX_AGE.set(max(0.0, (datetime.now(UTC) - oldest).total_seconds()) if oldest else 0)

    async def unpublished(self, session: Session, limit: int) -> list[State]:
        erased = await store.erased(session, limit=limit)
        changed = await store.unpublished(session, interval_seconds=self._interval, limit=limit)
        ends = [
            State(customer, customer.seq, _end(customer), customer.traceparent, ends=True)
            for customer in erased
        ]
        return ends + [
            State(customer.key, customer.seq, _event(customer), customer.traceparent)
            for customer in changed[: limit - len(ends)]
        ]

    async def published(self, session: Session, states: Sequence[State]) -> None:
        await store.mark_published(session, _marks(states))
        await store.forget_published(session, _ends(states))

    async def unpublish(self, session: Session, states: Sequence[State]) -> None:
        # An end that reaches the topic late removes the states that were sent after it: send them again.
        await store.publish_again(session, _marks(states) + _ends(states))


def _marks(states: Sequence[State]) -> list[tuple[CustomerKey, int]]:
    return [(state.id, state.seq) for state in states if isinstance(state.id, CustomerKey)]


def _ends(states: Sequence[State]) -> list[tuple[CustomerKey, int]]:
    return [(state.id.key, state.seq) for state in states if isinstance(state.id, ErasedCustomer)]


def _end(customer: ErasedCustomer) -> CustomerChanged:
    """The last event of an erased customer. A consumer that does not know the field `erased` reads a customer
    without a tier."""
    return CustomerChanged(
        store=customer.key.store, customer_ref=customer.key.ref, seq=customer.seq, tier="", erased=True
    )


def _event(customer: UnpublishedCustomer) -> CustomerChanged:
    moves = spells(customer.history) or [(customer.tier, FROM_THE_START)]
    return CustomerChanged(
        store=customer.key.store,
        customer_ref=customer.key.ref,
        seq=customer.seq,
        tier=customer.tier,
        since=customer.since,
        history=tuple(TierSpell(tier=tier, since=since) for tier, since in moves[-_SPELLS_PUBLISHED:]),
        tags=customer.tags,
        reasons=(customer.reason,),
        rule_version=customer.rule_version,
    )
