"""Create the product's topics that are missing, and describe those that exist. None is ever changed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidReplicationFactorError,
    KafkaError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    for_code,
)

from shared.events.topics import TOPICS, Topic
from shared.kafka.brokers import Brokers, client_options

PARTITIONS = 6
PATIENCE_SECONDS = 15.0
"""How long a broker that answers may take until the controller counts it as alive."""
_REQUEST_TIMEOUT_MS = 15_000
_ASK_AGAIN_SECONDS = 0.1

T = TypeVar("T")


class TopicError(Exception):
    """No broker answers or none is ready, or a topic is refused. `str()` is a sentence for operators."""


class _RefusedForNow(Exception):
    """The same request may succeed in a moment."""


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
    """Create the product's topics that are missing, and return their names. Harmless twice.

    Raises TopicError.
    """

    async def work(admin: AIOKafkaAdminClient) -> list[str]:
        present = set(await admin.list_topics())
        missing = [topic for topic in TOPICS if topic.name not in present]
        return await _make(admin, missing, partitions, replication) if missing else []

    return await _patiently(bootstrap, work)


async def make(
    bootstrap: str | Brokers, topics: Sequence[Topic], *, partitions: int = PARTITIONS, replication: int = 1
) -> list[str]:
    """Create these topics but those that exist, and return the names of the new ones. Raises TopicError."""
    return await _patiently(bootstrap, lambda admin: _make(admin, topics, partitions, replication))


async def describe(bootstrap: str | Brokers) -> list[TopicState]:
    """The state of each of the product's topics at the broker. Raises TopicError."""

    async def work(admin: AIOKafkaAdminClient) -> list[TopicState]:
        present = set(await admin.list_topics())
        names = [topic.name for topic in TOPICS if topic.name in present]
        described = await admin.describe_topics(names) if names else []
        settings = await _settings(admin, names)
        partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
        return [
            _state(topic, partitions.get(topic.name, 0), settings.get(topic.name, {})) for topic in TOPICS
        ]

    return await _patiently(bootstrap, work)


@asynccontextmanager
async def administering(
    bootstrap: str | Brokers, *, patience_seconds: float = PATIENCE_SECONDS, since: float | None = None
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that knows the controller, connected for the length of the block. Raises TopicError.

    A broker that was just started again, or that was frozen, answers before the controller counts it as
    alive, and then it names neither brokers nor a controller. aiokafka's client asks once and fails on that:
    here a new client asks again. `since`: when the patience began, on the monotonic clock; by default now.
    """
    until = (time.monotonic() if since is None else since) + patience_seconds
    while (admin := await _connected(bootstrap)) is None:
        if time.monotonic() > until:
            raise TopicError(
                f"Kafka answers at {bootstrap}, but within {patience_seconds:.0f} s"
                " no broker became ready there: its controller counts none as alive"
            )
        await asyncio.sleep(_ASK_AGAIN_SECONDS)
    try:
        yield admin
    finally:
        await admin.close()


async def _connected(bootstrap: str | Brokers) -> AIOKafkaAdminClient | None:
    """A connected client; None when a broker answers that knows no controller yet.

    Raises TopicError when no broker answers.
    """
    admin = AIOKafkaAdminClient(**client_options(bootstrap), request_timeout_ms=_REQUEST_TIMEOUT_MS)
    ready = False
    try:
        await admin.start()
        ready = await _names_a_controller(admin)
    except (KafkaError, OSError, ValueError) as error:
        raise TopicError(f"No Kafka answers at {bootstrap}") from error
    finally:
        if not ready:
            await admin.close()
    return admin if ready else None


async def _names_a_controller(admin: AIOKafkaAdminClient) -> bool:
    try:
        return bool((await admin.describe_cluster())["controller_id"] >= 0)
    except NodeNotReadyError:  # the answer at the start named no broker that could be asked
        return False


async def _patiently(bootstrap: str | Brokers, work: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    """Do the work, again after an error that may pass, and return its result. It must be harmless twice.

    PATIENCE_SECONDS is the time for all tries, with what they wait for a broker that is ready. Raises
    TopicError.
    """
    since = time.monotonic()
    while True:
        try:
            async with administering(bootstrap, since=since) as admin:
                return await work(admin)
        except (KafkaError, TimeoutError, _RefusedForNow) as error:
            passing = not isinstance(error, KafkaError) or error.retriable
            if not passing or time.monotonic() > since + PATIENCE_SECONDS:
                raise TopicError(f"Kafka at {bootstrap} does not do what it is asked: {error}") from error
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


async def _make(
    admin: AIOKafkaAdminClient, topics: Sequence[Topic], partitions: int, replication: int
) -> list[str]:
    durable = {"min.insync.replicas": "2"} if replication >= 3 else {}
    answer = await admin.create_topics(
        [
            NewTopic(topic.name, partitions, replication, topic_configs={**topic.config, **durable})
            for topic in topics
        ]
    )
    created = []
    for name, code, *_ in answer.topic_errors:
        refusal = for_code(code)
        if not code:
            created.append(name)
        elif refusal.retriable or (
            refusal is InvalidReplicationFactorError and await _could_hold(admin, replication)
        ):
            raise _RefusedForNow(f"{name}: {refusal.description}")
        elif refusal is not TopicAlreadyExistsError:
            raise TopicError(f"Kafka does not create the topic {name}: {refusal.description}")
    await _visible(admin, created)
    return created


async def _could_hold(admin: AIOKafkaAdminClient, copies: int) -> bool:
    """Whether a refusal for want of brokers is over: there are enough, or at this moment none at all."""
    alive = len((await admin.describe_cluster())["brokers"])
    return alive == 0 or alive >= copies


def _state(topic: Topic, partitions: int, settings: dict[str, str]) -> TopicState:
    differs = [f"{k}={settings.get(k)}" for k, v in topic.config.items() if settings and settings.get(k) != v]
    return TopicState(topic.name, partitions, tuple(differs))


async def _visible(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """Wait until the broker shows topics that the controller has just made."""
    for _ in range(300):
        if not names or all(topic["partitions"] for topic in await admin.describe_topics(names)):
            return
        await asyncio.sleep(0.05)
    raise TopicError("Kafka made the topics and does not show them")


async def _settings(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    responses = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    )
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for response in responses
        for resource in response.resources
    }
