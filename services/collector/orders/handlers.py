"""From the body of an order or an engagement to its event, and to Kafka."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from services.collector.bodies import without_nulls
from services.collector.callers import Caller
from services.collector.customers import CustomerRefs
from services.collector.domain import check_currency, chosen_id, event_time
from services.collector.orders.bodies import BuyerIn, EngagementIn
from services.collector.publishing import Publisher
from shared.events.orders import EngagementRecorded, OrderDelivered, OrderPlaced, OrderRefunded
from shared.events.responses import Customer


class OrderHandlers:
    """One method for each route of the room."""

    def __init__(self, *, customer_refs: CustomerRefs, publisher: Publisher) -> None:
        self._customer_refs = customer_refs
        self._publisher = publisher

    async def order(self, body: dict[str, Any], caller: Caller, *, traceparent: str) -> str:
        """Emit what happened to an order, and return the order's id. Raises Problem and InvalidInput."""
        event = self._order_event(body, caller, now=datetime.now(UTC))
        await self._publisher.publish(event, traceparent, order_id=event.order_id)
        return event.order_id

    async def engage(
        self, body: EngagementIn, caller: Caller, *, idempotency_key: str | None, traceparent: str
    ) -> str:
        """Emit what a customer did beside buying, and return the engagement's id.

        `idempotency_key` is the header of that name: the id when the body has none.
        Raises Problem and InvalidInput.
        """
        header = idempotency_key.encode("latin-1") if idempotency_key is not None else None
        now = datetime.now(UTC)
        event = EngagementRecorded(
            store=caller.store,
            engagement_id=chosen_id(body.get("id"), header, "/id") or str(uuid7()),
            kind=body["kind"],
            engaged_at=min(event_time(body["engaged_at"], now, "/engaged_at"), now),
            received_at=now,
            customer=self._buyer(caller.store, body["customer"]),
            key_id=caller.key_id,
        )
        await self._publisher.publish(event, traceparent, engagement_id=event.engagement_id)
        return event.engagement_id

    def _order_event(
        self, body: Mapping[str, Any], caller: Caller, *, now: datetime
    ) -> OrderPlaced | OrderDelivered | OrderRefunded:
        common: dict[str, Any] = {
            "store": caller.store,
            "order_id": body["id"],
            "received_at": now,
            "key_id": caller.key_id,
        }
        if body["type"] == "delivered":
            delivered_at = min(event_time(body["delivered_at"], now, "/delivered_at"), now)
            return OrderDelivered(delivered_at=delivered_at, **common)
        check_currency(body["currency"], caller.config.currency, "/currency")
        common["currency"] = body["currency"]
        if body["type"] == "placed":
            return OrderPlaced(
                placed_at=min(event_time(body["placed_at"], now, "/placed_at"), now),
                value=body["value"],
                customer=self._buyer(caller.store, body["customer"]),
                **common,
            )
        return OrderRefunded(
            refund_id=body["refund_id"],
            refunded_at=min(event_time(body["refunded_at"], now, "/refunded_at"), now),
            amount=body["amount"],
            **common,
        )

    def _buyer(self, store: str, buyer: BuyerIn) -> Customer:
        return Customer(ref=self._customer_refs.ref(store, buyer, "/customer"), **without_nulls(buyer))
