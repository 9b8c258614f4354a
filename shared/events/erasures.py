"""People who asked to be forgotten. Key: store, HMAC of the customer."""

from datetime import datetime
from typing import ClassVar

from shared.events import topics
from shared.events.model import Event


class CustomerErased(Event):
    """Nothing that was received until `erased_at` may name this customer, whenever it is processed.

    A person may be known by an id and by an e-mail, which have nothing in common: `also` holds the other
    references of the same request. There is no name, no id and no address here: the topic is kept for 60
    days, longer than any of them may be. `erasure_id` is what the caller was given.
    """

    type: ClassVar = "customer.erased.v1"
    topic: ClassVar = topics.ERASURES

    customer_ref: str
    erased_at: datetime
    also: tuple[str, ...] = ()
    erasure_id: str = ""

    @property
    def refs(self) -> tuple[str, ...]:
        """Every reference that is erased."""
        return (self.customer_ref, *self.also)

    def subject(self) -> tuple[str, ...]:
        return (self.customer_ref,)
