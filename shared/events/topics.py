"""The topics: their names and how long they keep what they carry."""

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as `closeloop topics` creates it.

    `kept_days` of None means compacted: the last record of each key stays, and the
    partition count must never change.
    """

    name: str
    kept_days: int | None = 21

    @property
    def config(self) -> dict[str, str]:
        common = {"message.timestamp.type": "LogAppendTime", "segment.ms": str(DAY_MS)}
        if self.kept_days is None:
            return {**common, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
        return {**common, "cleanup.policy": "delete", "retention.ms": str(self.kept_days * DAY_MS)}


RESPONSES = Topic("feedback.responses.v1")
ORDERS = Topic("commerce.orders.v1")
CUSTOMERS = Topic("loyalty.customers.v1", kept_days=None)
SCORES = Topic("feedback.scores.v1", kept_days=None)
CASES = Topic("feedback.cases.v1")
ERASURES = Topic("feedback.erasures.v1", kept_days=60)

TOPICS = (RESPONSES, ORDERS, CUSTOMERS, SCORES, CASES, ERASURES)
