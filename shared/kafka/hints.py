"""What a consumer group told Kafka of its progress: a hint, and a memory beside the database's."""

from aiokafka.admin import AIOKafkaAdminClient

from shared.kafka.brokers import Brokers, client_options

_REQUEST_TIMEOUT_MS = 5_000


async def told(bootstrap: str | Brokers, group: str) -> dict[tuple[str, int], int]:
    """The committed offset of each (topic, partition) of the group. Raises what the client raises.

    A group commits what the database already has, so a hint is never ahead of the database that it is of.
    """
    admin = AIOKafkaAdminClient(**client_options(bootstrap), request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return {(place.topic, place.partition): at.offset for place, at in committed.items() if at.offset >= 0}
