"""What the loyalty programme knows of a customer. Key: store, HMAC of the customer."""

from datetime import datetime
from typing import ClassVar

from shared.events import topics
from shared.events.model import Event, Part


class TierSpell(Part):
    """The customer held `tier` from `since` on."""

    tier: str
    since: datetime


class CustomerChanged(Event):
    """The state of a customer; a lower `seq` than one already seen is old news.

    `history`: the latest tier spells, oldest first, bounded; the last is the present tier. The base tier
    from the start has since = 1970-01-01T00:00:00Z here, and `since` None in the event.

    `erased`: forget what was said of the customer before; a record without a value follows, so that
    compaction forgets too. What comes after it is about somebody new.
    """

    type: ClassVar = "customer.changed.v1"
    topic: ClassVar = topics.CUSTOMERS

    customer_ref: str
    seq: int
    tier: str
    since: datetime | None = None
    history: tuple[TierSpell, ...] = ()
    tags: tuple[str, ...] = ()
    risk: str | None = None
    action: str | None = None
    reasons: tuple[str, ...] = ()
    rule_version: str = ""
    erased: bool = False

    def subject(self) -> tuple[str, ...]:
        return (self.customer_ref,)
