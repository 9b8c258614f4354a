"""What customers bought, got and gave back. Key: store, order id."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from shared.events import topics
from shared.events.model import Event
from shared.events.responses import Customer


class _Order(Event):
    topic: ClassVar = topics.ORDERS

    order_id: str
    received_at: datetime
    key_id: str = ""

    def subject(self) -> tuple[str, ...]:
        return (self.order_id,)


class OrderPlaced(_Order):
    """`value`: the net spend, in units of `currency`."""

    type: ClassVar = "order.placed.v1"

    placed_at: datetime
    value: Decimal
    currency: str
    customer: Customer


class OrderDelivered(_Order):
    type: ClassVar = "order.delivered.v1"

    delivered_at: datetime


class OrderRefunded(_Order):
    """`amount` of the order given back; worth nothing until the order is known."""

    type: ClassVar = "order.refunded.v1"

    refund_id: str
    refunded_at: datetime
    amount: Decimal
    currency: str


class EngagementRecorded(Event):
    """`kind`: event, app_install, review, referral. Key: store, engagement id."""

    type: ClassVar = "engagement.recorded.v1"
    topic: ClassVar = topics.ORDERS

    engagement_id: str
    kind: str
    engaged_at: datetime
    received_at: datetime
    customer: Customer
    key_id: str = ""

    def subject(self) -> tuple[str, ...]:
        return (self.engagement_id,)
