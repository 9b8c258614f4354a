"""People who asked to be forgotten. Key: store, HMAC of the customer."""

from datetime import datetime
from typing import ClassVar

from shared.events import topics
from shared.events.model import Event


class CustomerErased(Event):
    """Drop what was received before `erased_at`, whenever it is processed."""

    type: ClassVar = "customer.erased.v1"
    topic: ClassVar = topics.ERASURES

    customer_ref: str
    erased_at: datetime

    def subject(self) -> tuple[str, ...]:
        return (self.customer_ref,)
