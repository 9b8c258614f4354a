"""From the request to forget a person to its event, and to Kafka."""

from datetime import UTC, datetime

from uuid_utils import uuid7

from services.collector.callers import Caller
from services.collector.customers import CustomerRefs
from services.collector.erasures.bodies import ErasureIn
from services.collector.publishing import Publisher
from shared.events.erasures import CustomerErased
from shared.http import Problem
from shared.ops import metrics


class ErasureHandlers:
    """One method for each route of the room."""

    def __init__(self, *, customer_refs: CustomerRefs, publisher: Publisher) -> None:
        self._customer_refs = customer_refs
        self._publisher = publisher

    async def erase(self, body: ErasureIn, caller: Caller, *, traceparent: str) -> CustomerErased:
        """Emit, by references only, that a person asked to be forgotten. Raises Problem and InvalidInput."""
        ref, *others = self._customer_refs.all_refs(caller.store, body["customer"], "/customer")
        event = CustomerErased(
            store=caller.store,
            customer_ref=ref,
            also=tuple(others),
            erased_at=datetime.now(UTC),
            erasure_id=str(uuid7()),
        )
        try:
            await self._publisher.publish(event, traceparent, erasure_id=event.erasure_id)
        except Problem:
            metrics.ERASURE_REQUESTS.labels("unavailable").inc()
            raise
        metrics.ERASURE_REQUESTS.labels("accepted").inc()
        return event
