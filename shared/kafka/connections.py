"""The producer's connections: who leads a lane, and one request for all lanes of a broker.

aiokafka's client, without its producer, which keeps timers and futures for each partition of a request: they
cost more than the request itself. Idempotence stays off: aiokafka 0.14 hangs with it
when the broker is gone (#1101), and a repeat is harmless here, because consumers count by response id.
"""

import asyncio
from collections.abc import Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import TopicPartition

from shared.kafka.batches import Batch, Lane
from shared.kafka.brokers import Brokers, client_options
from shared.kafka.stopping import closed

_ALL_IN_SYNC = -1
_ASK_AGAIN_SECONDS = 0.05

Verdicts = dict[Lane, KafkaError | None]
"""None: all in-sync replicas have it."""


class Connections:
    def __init__(self, bootstrap: str | Brokers, *, request_timeout_seconds: float) -> None:
        self._timeout_seconds = request_timeout_seconds
        self._timeout_ms = int(request_timeout_seconds * 1000)
        self._client = AIOKafkaClient(
            **client_options(bootstrap),
            request_timeout_ms=self._timeout_ms,
            retry_backoff_ms=50,
            metadata_max_age_ms=60_000,
        )

    async def open(self, topics: Sequence[str]) -> dict[str, int]:
        """Connect, and learn the partition counts. Raises KafkaError, also when a topic does not exist."""
        await self._client.bootstrap()
        self._client.set_topics(topics)
        found: dict[str, set[int] | None] = {}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                while True:
                    await self._client.force_metadata_update()
                    found = {topic: self._client.cluster.partitions_for_topic(topic) for topic in topics}
                    counts = {topic: len(partitions) for topic, partitions in found.items() if partitions}
                    if len(counts) == len(found):
                        return counts
                    await asyncio.sleep(_ASK_AGAIN_SECONDS)
        except TimeoutError:
            missing = [topic for topic, partitions in found.items() if not partitions]
            raise UnknownTopicOrPartitionError(", ".join(missing or topics)) from None

    def brokers(self) -> set[int]:
        return {broker.nodeId for broker in self._client.cluster.brokers()}

    def leader(self, lane: Lane) -> int | None:
        """The broker that takes the lane's records; None while there is none."""
        leader = self._client.cluster.leader_for_partition(TopicPartition(*lane))
        return leader if isinstance(leader, int) and leader >= 0 else None

    async def produce(self, broker: int | None, batches: Sequence[Batch]) -> Verdicts:
        """Write with `acks=all`; what became of each lane. None: there is no such broker, ask for one."""
        try:
            if broker is None:
                raise LeaderNotAvailableError
            response = await self._client.send(broker, _request(batches, self._timeout_ms))
        except KafkaError as error:
            verdicts: Verdicts = {batch.lane: error for batch in batches}
        else:
            verdicts = {batch.lane: KafkaError("not in the answer") for batch in batches}
            for topic, partitions in response.topics:
                for partition, code, *_ in partitions:
                    verdicts[topic, partition] = for_code(code)() if code else None
        if any(error is not None and error.invalid_metadata for error in verdicts.values()):
            self._client.force_metadata_update()
        return verdicts

    async def ask(self) -> None:
        """Raises KafkaError when no broker answers."""
        await self._client.fetch_all_metadata()

    async def close(self, *, within_seconds: float = 2.0) -> None:
        """Bounded, and swallowed."""
        await closed(self._client, within_seconds=within_seconds)


def _request(batches: Sequence[Batch], timeout_ms: int) -> ProduceRequest:
    topics: dict[str, list[tuple[int, bytes]]] = {}
    for batch in batches:
        topic, partition = batch.lane
        topics.setdefault(topic, []).append((partition, batch.encoded()))
    return ProduceRequest(
        transactional_id=None, required_acks=_ALL_IN_SYNC, timeout=timeout_ms, topics=list(topics.items())
    )
