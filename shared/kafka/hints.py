"""What a consumer group told Kafka of its progress: a hint, and a memory beside the database's."""

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.commit import OffsetFetchRequest

from shared.kafka.brokers import Brokers, client_options

_REQUEST_TIMEOUT_MS = 5_000


async def told(bootstrap: str | Brokers, group: str) -> dict[tuple[str, int], int]:
    """The committed offset of each (topic, partition) of the group. Raises what the client raises.

    A group commits what the database already has, so a hint is never ahead of the database that it is of.
    """
    admin = AIOKafkaAdminClient(**client_options(bootstrap), request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        coordinator = await admin.find_coordinator(group)
        answer = await admin._send_request(OffsetFetchRequest(group, None), coordinator)
    finally:
        await admin.close()
    return offsets_in(answer)


def offsets_in(answer: Any) -> dict[tuple[str, int], int]:
    """The offsets of an OffsetFetch response. Raises its error.

    aiokafka's own `list_consumer_group_offsets` looks only at the errors of partitions: a coordinator that
    is still loading, or that does not let us ask, reads as a group that never committed anything.
    """
    if answer.error_code:
        raise for_code(answer.error_code)("the offsets of the group cannot be read")
    found: dict[tuple[str, int], int] = {}
    for topic, partitions in answer.topics:
        for partition, offset, _, error_code in partitions:
            if error_code:
                raise for_code(error_code)(f"the offset of {topic}/{partition} cannot be read")
            if offset >= 0:
                found[topic, partition] = offset
    return found
