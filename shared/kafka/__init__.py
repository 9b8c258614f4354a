"""Everything that talks to Kafka. State, outbox and next offset move in one PostgreSQL transaction.

Reading order. From Kafka: `consumer` (the loop of a group, and how it fetches the next batch while one is
applied), `gate` (which records this member may apply), `log_identity` (which log a topic is, and whether a
stored offset is one of it), `applying` (one batch in one transaction; halved when it fails; when to stop
instead), `progress` (lag). To Kafka: `producer` (records in batches, batches in requests), `publishing`
(states and facts that the database holds), `log_watch` (whether topics are still the logs that they were).
Beside them: `brokers` (addresses, sign-in, how a client is ended), `topics` (create and describe them),
`reading` (a topic from its start, the logs that Kafka has, and the offsets that a group committed), `traced`
(producer and applier with spans), `aiokafka_internals` (what is private to the library and used
nevertheless).
"""

from shared.kafka.applying import Applier, Breaker, Handler, OutcomeCounts
from shared.kafka.brokers import Brokers
from shared.kafka.consumer import Consumer
from shared.kafka.producer import NotAcknowledged, Producer, TopicsMissing
from shared.kafka.publishing import OutboxRelay, State, StatePublisher, StateSource
from shared.kafka.reading import committed_offsets

__all__ = [
    "Applier",
    "Breaker",
    "Brokers",
    "Consumer",
    "Handler",
    "NotAcknowledged",
    "OutboxRelay",
    "OutcomeCounts",
    "Producer",
    "State",
    "StatePublisher",
    "StateSource",
    "TopicsMissing",
    "committed_offsets",
]
