"""Create what is missing; never change what is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.events.topics import TOPICS
from shared.kafka.brokers import Brokers, client_options

PARTITIONS = 6
_REQUEST_TIMEOUT_MS = 15_000


class TopicError(Exception):
    """No broker answers, or it refuses a topic. `str()` is a sentence for operators."""


@dataclass(frozen=True, slots=True)
class TopicState:
    name: str
    partitions: int
    """0: the topic does not exist."""
    differs: tuple[str, ...] = ()
    """Settings that are not those of the code, as `name=value`."""


async def ensure(
    bootstrap: str | Brokers, *, partitions: int = PARTITIONS, replication: int = 1
) -> list[str]:
    """Create the topics that are missing, and return their names. Harmless twice. Raises TopicError."""
    async with _admin(bootstrap) as admin:
        present = set(await admin.list_topics())
        missing = [topic for topic in TOPICS if topic.name not in present]
        if not missing:
            return []
        durable = {"min.insync.replicas": "2"} if replication >= 3 else {}
        answer = await admin.create_topics(
            [
                NewTopic(topic.name, partitions, replication, topic_configs={**topic.config, **durable})
                for topic in missing
            ]
        )
        for name, code, *_ in answer.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                reason = for_code(code).description
                raise TopicError(f"Kafka does not create the topic {name}: {reason}")
        await _visible(admin, [topic.name for topic in missing])
        return [topic.name for topic in missing]


async def describe(bootstrap: str | Brokers) -> list[TopicState]:
    """What the broker has of the product's topics. Raises TopicError."""
    async with _admin(bootstrap) as admin:
        present = set(await admin.list_topics())
        names = [topic.name for topic in TOPICS if topic.name in present]
        described = await admin.describe_topics(names) if names else []
        settings = await _settings(admin, names)
    found = {topic["topic"]: len(topic["partitions"]) for topic in described}
    states = []
    for topic in TOPICS:
        actual = settings.get(topic.name, {})
        differs = [f"{k}={actual.get(k)}" for k, v in topic.config.items() if actual and actual.get(k) != v]
        states.append(TopicState(topic.name, found.get(topic.name, 0), tuple(differs)))
    return states


async def _visible(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """Wait until the broker shows topics that the controller has just made."""
    for _ in range(300):
        if all(topic["partitions"] for topic in await admin.describe_topics(names)):
            return
        await asyncio.sleep(0.05)
    raise TopicError("Kafka made the topics and does not show them")


@asynccontextmanager
async def _admin(bootstrap: str | Brokers) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connected for the length of the block; TopicError when no broker answers."""
    admin = AIOKafkaAdminClient(**client_options(bootstrap), request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
    except (KafkaError, OSError, ValueError) as error:
        await admin.close()
        raise TopicError(f"No Kafka answers at {bootstrap}") from error
    try:
        yield admin
    finally:
        await admin.close()


async def _settings(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }
