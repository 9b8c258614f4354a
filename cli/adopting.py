"""Compares the logs that the services know with those that Kafka has, and adopts Kafka's."""

import getpass
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cli import CommandError
from services.scorer import operations as scorer
from services.segmenter import operations as segmenter
from shared.db import Database, Inbox, Session, StoredPlace, WrittenLogs
from shared.events.topics import CUSTOMERS, ERASURES, SCORES, TOPICS
from shared.kafka import Brokers
from shared.kafka.log_identity import made_anew, missing
from shared.kafka.reading import LogExtent, differences, log_extents
from shared.kafka.topics import TopicState, describe

CONSUMERS = ("scorer", "segmenter", "notifier")
WRITER = "collector"


@dataclass(frozen=True, slots=True)
class KnownLog:
    """What a service knows of a topic and Kafka's log contradicts. Of the collector: no partition, no offset.

    `log` None: Kafka has no such topic.
    """

    service: str
    topic: str
    fault: str
    partition: int | None
    stored: StoredPlace | None
    known: UUID | None
    log: LogExtent | None

    def as_json(self) -> dict[str, Any]:
        first, end = self.bounds
        return {
            "service": self.service,
            "topic": self.topic,
            "partition": self.partition,
            "fault": self.fault,
            "stored_offset": self.stored.next_offset if self.stored else None,
            "stored_topic_id": str(self.known) if self.known else None,
            "topic_id": str(self.log.topic_id) if self.log else None,
            "first_offset": first,
            "end_offset": end,
        }

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The first offset and the end of the partition in the log that Kafka has."""
        if self.log is None or self.partition is None:
            return None, None
        return self.log.first.get(self.partition), self.log.end.get(self.partition)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was done: the topics, and how many states each service will publish again."""

    topics: list[str]
    republished: dict[str, int]


async def compare(database: Database, brokers: Brokers) -> list[KnownLog]:
    """Where the logs that the services know are not those that Kafka has; empty when all is well.

    Raises TopicError when Kafka does not answer.
    """
    logs = await log_extents(brokers, [topic.name for topic in TOPICS])
    async with database.snapshot() as session:
        return await _compare(session, logs)


async def _compare(session: Session, logs: dict[str, LogExtent]) -> list[KnownLog]:
    known: list[KnownLog] = []
    for topic, topic_id in sorted((await WrittenLogs(WRITER).known(session)).items()):
        log = logs.get(topic)
        if log is None:
            known.append(KnownLog(WRITER, topic, missing(topic), None, None, topic_id, None))
        elif log.topic_id != topic_id:
            fault = made_anew(topic, topic_id, log.topic_id)
            known.append(KnownLog(WRITER, topic, fault, None, None, topic_id, log))
    for service in CONSUMERS:
        stored = await _inbox(service).places(session)
        known += [
            KnownLog(service, d.topic, d.fault, d.partition, d.stored, d.stored.topic_id, d.log)
            for d in differences(stored, logs)
        ]
    return known


async def adopt(database: Database, brokers: Brokers, topics: Collection[str]) -> Adoption:
    """Have every service go on at the start of the logs that Kafka has under these names, in one transaction.

    Consumers that have halted see it within seconds. Afterwards scores and customers are marked to be
    published again where their topic was lost. CommandError when Kafka lacks one of the topics.
    """
    logs = await log_extents(brokers, [topic.name for topic in TOPICS])
    if lacking := sorted(set(topics) - logs.keys()):
        raise CommandError(
            f"Kafka has no topic {', '.join(lacking)}",
            remedy="`closeloop topics --create` creates what is missing; then adopt it.",
        )
    by = _operator()
    async with database.transaction() as session:
        misfits = [known for known in await _compare(session, logs) if known.topic in topics]
        for service in CONSUMERS:
            for topic in sorted(set(topics)):
                partitions = {
                    known.partition
                    for known in misfits
                    if (known.service, known.topic) == (service, topic) and known.partition is not None
                }
                if partitions:
                    inbox, log = _inbox(service), logs[topic]
                    places = await inbox.places(session, [topic])
                    next_offsets = starts(places.values(), log, partitions)
                    await inbox.adopt(session, topic, log.topic_id, next_offsets, by=by)
        written = WrittenLogs(WRITER)
        for known in misfits:
            if known.service == WRITER:
                await written.adopt(session, known.topic, logs[known.topic].topic_id, by=by)
    anew = {known.topic for known in misfits if known.log and known.known != known.log.topic_id}
    republished = {}
    if SCORES.name in anew:
        republished["scorer"] = await scorer.republish(database, None)
    if CUSTOMERS.name in anew:
        republished["segmenter"] = await segmenter.republish(database, None)
    return Adoption(sorted({known.topic for known in misfits}), republished)


async def unlike(brokers: Brokers, topics: Collection[str]) -> list[str]:
    """Which of these topics are not as the product makes them, a sentence for each; a missing one is none.

    A topic that was made by hand has Kafka's own settings. Raises TopicError.
    """
    return unlike_among(await describe(brokers), topics)


def unlike_among(states: Collection[TopicState], topics: Collection[str]) -> list[str]:
    """As `unlike`, for the states of all topics: one with fewer partitions than another differs too."""
    most = max((state.partitions for state in states), default=0)
    said = []
    for state in states:
        if state.name in topics and state.partitions:
            fewer = [f"partitions={state.partitions} (others: {most})"] if state.partitions < most else []
            if differs := [*state.differs, *fewer]:
                said.append(
                    f"{state.name} is not as the product makes it: {', '.join(differs)}. "
                    '`closeloop topics` shows it; the runbook says what to do ("Make a topic anew").'
                )
    return said


def starts(places: Iterable[StoredPlace], log: LogExtent, misfits: set[int]) -> dict[int, int]:
    """The next offset of each partition to set: all of a log that was made anew, else those that misfit."""
    same = all(place.topic_id == log.topic_id for place in places)
    return {p: first for p, first in log.first.items() if not same or p in misfits}


def lost(misfits: Iterable[KnownLog]) -> list[str]:
    """What cannot be had back, a sentence for each kind."""
    sentences = []
    misfits = list(misfits)
    anew = {known.topic for known in misfits if known.log and known.known != known.log.topic_id}
    if anew:
        sentences.append(
            "What the former logs held behind the stored offsets is lost; how much it was, nobody can know. "
            "What was applied before is in PostgreSQL and stays."
        )
    for known in misfits:
        first, _ = known.bounds
        if known.topic not in anew and known.stored and first and known.stored.next_offset < first:
            expired = first - known.stored.next_offset
            sentences.append(
                f"{known.service}: {expired} records of {known.topic}/{known.partition} expired unread."
            )
    if ERASURES.name in anew:
        sentences.append(
            "An erasure that was not complete has to be asked for again: `closeloop erase --wait`."
        )
    return sentences


def _inbox(service: str) -> Inbox:
    return Inbox(service, f"closeloop-{service}")


def _operator() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"
