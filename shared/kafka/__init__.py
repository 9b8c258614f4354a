"""The only door to Kafka. State, outbox and next offset move in one PostgreSQL transaction.

Reading order: `consumer` (the loop), `gate` (which records are ours to apply), `fetching` (a batch, while
another is applied), `items` (what a record is), `applying` (one batch, one transaction, bisected when it
fails), `breaker` (when to stop instead), `progress` (lag). Towards Kafka: `producer` (waves), `batches` and
`connections` (what a wave is made of and goes through), `pulse` (how sending fares), `publishing`. `hints` is
what a group told Kafka; `membership` and `brokers` (addresses and sign-in) are where clients start from.
"""

from shared.kafka.applying import Applier, Breaker, Handler, Outcomes, each
from shared.kafka.brokers import Brokers
from shared.kafka.consumer import Consumer
from shared.kafka.producer import NotAcknowledged, Producer
from shared.kafka.publishing import OutboxRelay, State, StatePublisher, StateSource
from shared.kafka.reading import told

__all__ = [
    "Applier",
    "Breaker",
    "Brokers",
    "Consumer",
    "Handler",
    "NotAcknowledged",
    "OutboxRelay",
    "Outcomes",
    "Producer",
    "State",
    "StatePublisher",
    "StateSource",
    "each",
    "told",
]
