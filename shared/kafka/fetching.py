"""Take what the client has fetched and decode it, in turns so short that the batch in hand hardly notices.

Decoding a batch takes as long as PostgreSQL takes to apply one. In one piece it would keep the applier from
every answer of the database's meanwhile; in turns the two share the time.
"""

import asyncio
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.kafka.applying import Applier
from shared.kafka.gate import Gate
from shared.kafka.items import Item, Unreadable
from shared.kafka.progress import Progress

_POLL_MS = 500
_TURN_RECORDS = 32
_GATHER_MS = 40
_GATHER_BYTES = 65_536


class Died(RuntimeError):
    """A background task of the client ended (aiokafka #983): only a fresh one helps."""


class Unparsable(Exception):
    """The client's parser broke on a record. What it took before is lost, and its positions moved on."""


class Batch(NamedTuple):
    """What is to be applied together, each partition in the log's order.

    `generation` is the gate's when the first of it was admitted; at another it may not follow on any more.
    """

    items: list[Item]
    taken: int
    generation: int


class Fetching:
    """Reads batches for one consumer."""

    def __init__(self, gate: Gate, applier: Applier, progress: Progress) -> None:
        self._gate = gate
        self._applier = applier
        self._progress = progress

    async def batch(self, client: AIOKafkaConsumer, at_most: int) -> Batch:
        """Wait a while for records and take those that are there. Raises Unparsable or Died."""
        if client._fetcher.error_future.done():
            raise Died("the fetcher ended")
        items: list[Item] = []
        taken, generation, wait_ms = 0, self._gate.generation, _POLL_MS
        while taken < at_most:
            turn = min(_TURN_RECORDS, at_most - taken)
            try:
                fetched: dict[TopicPartition, list[Any]] = await client.getmany(
                    timeout_ms=wait_ms, max_records=turn
                )
            except (ValueError, TypeError, IndexError) as error:
                raise Unparsable from error
            except KafkaError:
                if not items:
                    raise
                break  # what was taken is sound; the client says it again
            if not taken:
                generation = self._gate.generation
            items += self._read(fetched)
            records = sum(map(len, fetched.values()))
            taken += records
            if records < turn:
                break
            wait_ms = 0
            await asyncio.sleep(0)
        return Batch(items, taken, generation)

    def gather(self, client: AIOKafkaConsumer, *, trickles: bool) -> None:
        """Have the brokers gather what trickles in, rather than answer a fetch for every record of it.

        A partition is not fetched again before its records were taken: answered for the first one, those
        that follow it would wait for the batch after the next. The client has no setting that could change
        later, and after a rest a record shall not wait.
        """
        fetcher = client._fetcher
        fetcher._fetch_min_bytes = _GATHER_BYTES if trickles else 1
        fetcher._fetch_max_wait_ms = _GATHER_MS if trickles else _POLL_MS

    async def singly(self, client: AIOKafkaConsumer) -> Batch:
        """One record of each partition, and a stand-in for one that the client cannot read."""
        fetched: dict[TopicPartition, list[Any]] = {}
        for tp in sorted(client.assignment()):
            position = await client.position(tp)
            try:
                fetched |= await client.getmany(tp, timeout_ms=_POLL_MS // 5, max_records=1)
            except (ValueError, TypeError, IndexError) as error:
                client.seek(tp, position + 1)
                fetched[tp] = [Unreadable(tp.topic, tp.partition, position, error)]
        return Batch(self._read(fetched), sum(map(len, fetched.values())), self._gate.generation)

    def _read(self, fetched: dict[TopicPartition, list[Any]]) -> list[Item]:
        for tp, records in fetched.items():
            self._progress.fetched(tp, records)
        return [self._applier.read(record, follows) for record, follows in self._gate.admit(fetched)]
