"""Which log a topic is. A topic that was deleted and made anew has its old name and another id (KIP-516).

A place is (topic id, partition, offset): the same offset in another log is another record. aiokafka speaks
versions of the metadata request that are older than the id, so version 12 is declared here; it goes through
the client that the caller has.
"""

from collections.abc import Collection, Iterable, Mapping
from io import BytesIO
from typing import NamedTuple
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NodeNotReadyError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from shared.db import StoredPlace

_METADATA = 3
_VERSION = 12
_NO_ID = UUID(int=0)


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]  # aiokafka has no types
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class MetadataResponseV12(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequestV12(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = _METADATA
    API_VERSION = _VERSION
    RESPONSE_TYPE = MetadataResponseV12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicIdRequest(Request[MetadataRequestV12]):  # type: ignore[misc]
    """Asks for topics by their names, and creates none."""

    API_KEY = _METADATA

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[MetadataRequestV12]) -> MetadataRequestV12:
        return request_struct_class([(_NO_ID, name, {}) for name in self._topics], False, False, {})


class TopicLog(NamedTuple):
    """The log that a topic's name stands for now."""

    topic_id: UUID
    partitions: int


async def topic_logs(
    client: AIOKafkaClient, topics: Collection[str], *, broker: int | None = None
) -> dict[str, TopicLog]:
    """The logs of those topics that exist, as this broker knows them; by default any broker.

    Who is about to read from a broker asks that one: the others may hear a little later of a new topic.
    Raises KafkaError; NotImplementedError when the broker is older than topic ids (Kafka 3.1).
    """
    node = client.get_random_node() if broker is None else broker
    if node is None:
        raise NodeNotReadyError("no broker is known")
    response = await client.send(node, TopicIdRequest(topics))
    logs: dict[str, TopicLog] = {}
    for error_code, name, topic_id, _, partitions, *_ in response.topics:
        error = for_code(error_code)
        if error_code and error is UnknownTopicOrPartitionError:
            continue
        if error_code and not error.retriable:
            raise error(name)
        logs[name] = TopicLog(topic_id, len(partitions))
    return logs


class LogMismatch(RuntimeError):
    """Topics are other logs than those that the database knows, or gone, or hold other offsets.

    An operator decides what to do; a guess could lose or repeat records. `faults`: what happened to each
    topic, as a sentence. `str()` says all of it, with the command.
    """

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(faults.values()) + "; " + WHAT_TO_DO)
        self.faults = dict(faults)


ADOPT = "closeloop topics adopt"
DECIDE = f"`{ADOPT} --dry-run` shows what differs, without --dry-run the services go on."
"""What an operator is told to do."""
WHAT_TO_DO = f"an operator decides: `{ADOPT}`, see docs/runbook.md, 'The log and the database disagree'"


def missing(topic: str) -> str:
    """The fault of a topic that Kafka does not have."""
    return f"the topic {topic} is not there: `closeloop topics --create` makes it"


def made_anew(topic: str, known: UUID, now: UUID) -> str:
    """The fault of a topic that is another log than the one that is known."""
    return f"the topic {topic} was made anew: the database knows the log {known}, Kafka has {now}"


def fault_of(
    topic: str,
    partition: int,
    *,
    stored: StoredPlace | None,
    known: Collection[UUID],
    topic_id: UUID | None,
    first: int,
    end: int,
) -> str | None:
    """Why a group may not go on in this partition, or None. The one rule of all who open or adopt a log.

    `stored` None: the group never read the partition. `known`: the ids that are stored for the other
    partitions of the topic. `topic_id` None: Kafka has no such topic. The log holds the offsets from `first`
    up to `end` (not included). A place without an id takes the log's, if it lies within the log.
    """
    if topic_id is None:
        return missing(topic)
    expected = stored.topic_id if stored and stored.topic_id else None
    if expected is None and known and topic_id not in known:
        expected = min(known)
    if expected is not None and expected != topic_id:
        return made_anew(topic, expected, topic_id)
    if stored is not None and not first <= stored.next_offset <= end:
        return (
            f"{topic}/{partition}: the database is at offset {stored.next_offset}, "
            f"the log holds {first} to {end}"
        )
    return None
