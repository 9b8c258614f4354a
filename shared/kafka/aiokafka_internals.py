"""The private attributes of aiokafka on which this package relies. No other file reaches into the library.

Each function says what aiokafka has no public way for. `tests/unit/kafka/test_aiokafka_internals.py` fails
when a new version of aiokafka has moved one of the attributes.
"""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient


def fetcher_ended(consumer: AIOKafkaConsumer) -> bool:
    """Whether the task that fetches records has ended: the consumer then waits for ever (aiokafka #983)."""
    return bool(consumer._fetcher.error_future.done())


def set_fetch(consumer: AIOKafkaConsumer, *, min_bytes: int, max_wait_ms: int) -> None:
    """Have the next fetches wait at the broker for so many bytes, or for so long; settable at start only."""
    fetcher = consumer._fetcher
    fetcher._fetch_min_bytes = min_bytes
    fetcher._fetch_max_wait_ms = max_wait_ms


def leader_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """The broker that leads the partition by the metadata in memory; None while there is none."""
    leader = consumer._client.cluster.leader_for_partition(partition)
    return leader if isinstance(leader, int) and leader >= 0 else None


async def send_admin_request(admin: AIOKafkaAdminClient, request: Any, broker: int) -> Any:
    """Send a request for which the admin client has no method, and return the response."""
    return await admin._send_request(request, broker)


def client_of(consumer: AIOKafkaConsumer) -> AIOKafkaClient:
    """The consumer's connections, for a request for which it has no method."""
    return consumer._client


def parts_of(consumer: AIOKafkaConsumer) -> list[Any]:
    """The parts of a consumer that run or hold connections. Each has `close()`."""
    return [part for part in (consumer._fetcher, consumer._client) if part is not None]
