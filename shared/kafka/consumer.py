"""The loop of a consumer group: poll always, apply one batch at a time, fetch the next meanwhile.

`group_client` is a member of the group as aiokafka must be configured for it, `BatchReader` takes and
decodes what that client has fetched, `Consumer` is the loop around both.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from shared.db import Database, Inbox
from shared.kafka import aiokafka_internals
from shared.kafka.applying import Applier, Item, PartitionsLost, TooManyDeadLetters, Unreadable
from shared.kafka.brokers import Brokers, client_options, stopped
from shared.kafka.gate import Gate
from shared.kafka.log_identity import LogMismatch
from shared.kafka.progress import Progress, count_letters
from shared.ops import metrics
from shared.ops.health import NotReady, cancel_and_wait
from shared.ops.logs import log

_log = log("kafka")

_CONNECT_SECONDS = 15.0
_HINT_SECONDS = 5.0
_MEASURE_SECONDS = 2.0
_COMPARE_SECONDS = 2.0
_LETTERS_SECONDS = 30.0
_LEAVE_SECONDS = 1.5
_NOWHERE = TopicPartition("", -1)

_FETCH_WAIT_MS = 500
_FETCH_BYTES = 262_144
"""Of each partition at once. Four times as much, aiokafka's default, is no faster and held in memory."""
_POLL_MS = 500
_TURN_RECORDS = 32

_TRICKLE_RECORDS = 100
"""A batch of fewer records is a trickle: brokers and consumer then wait a little, so that more comes
together. A transaction costs the same for one record as for fifty."""
_GATHER_MS = 40
_GATHER_BYTES = 65_536
_GATHER_SECONDS = 0.04


def group_client(
    bootstrap: str | Brokers,
    group: str,
    *,
    session_timeout_seconds: float,
    metadata_max_age_seconds: float = 60.0,
) -> AIOKafkaConsumer:
    """A client of aiokafka's, not started yet, that commits nothing and picks no offset by itself."""
    session_ms = int(session_timeout_seconds * 1000)
    return AIOKafkaConsumer(
        **client_options(bootstrap),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="none",  # the gate seeks; a position outside the log must be noticed
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        max_partition_fetch_bytes=_FETCH_BYTES,
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // 4,
        rebalance_timeout_ms=60_000,
        max_poll_interval_ms=300_000,
        request_timeout_ms=session_ms + 40_000,
        metadata_max_age_ms=int(metadata_max_age_seconds * 1000),
        retry_backoff_ms=100,
    )


class FetcherDied(RuntimeError):
    """The client's task that fetches has ended (aiokafka #983): only a new client helps."""


class UnparsableRecord(Exception):
    """The client's parser broke on a record. Records that it took before are lost: its positions moved on."""


class FetchedBatch(NamedTuple):
    """Records that are to be applied together, each partition's in the log's order.

    `taken` counts those that the gate refused too. `generation` is the gate's at the first record: when it
    has changed since, a partition was closed and the batch must not be applied.
    """

    items: list[Item]
    taken: int
    generation: int


class BatchReader:
    """Reads batches for one consumer, in turns so short that the batch in hand hardly notices.

    To decode a batch takes as long as PostgreSQL takes to apply one. In one piece it would keep the applier
    from the database's answers all that time; in turns the two share it.
    """

    def __init__(self, gate: Gate, applier: Applier, progress: Progress) -> None:
        self._gate = gate
        self._applier = applier
        self._progress = progress

    async def read(self, client: AIOKafkaConsumer, at_most: int) -> FetchedBatch:
        """Wait for records, at most 0.5 s, and take those that are there, at most `at_most`.

        Raises UnparsableRecord, FetcherDied, or an error of Kafka's when there are none.
        """
        if aiokafka_internals.fetcher_ended(client):
            raise FetcherDied("the fetcher ended")
        items: list[Item] = []
        taken, generation, wait_ms = 0, self._gate.generation, _POLL_MS
        while taken < at_most:
            turn = min(_TURN_RECORDS, at_most - taken)
            try:
                fetched: dict[TopicPartition, list[Any]] = await client.getmany(
                    timeout_ms=wait_ms, max_records=turn
                )
            except (ValueError, TypeError, IndexError) as error:
                raise UnparsableRecord from error
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
        return FetchedBatch(items, taken, generation)

    def let_brokers_gather(self, client: AIOKafkaConsumer, *, trickles: bool) -> None:
        """Have the brokers answer a fetch when some records are there, rather than at the first one.

        Only while records trickle in: after a rest a record shall not wait. A partition is not fetched again
        before its records were taken, so if the broker answered at the first record, those that follow it
        would wait for the batch after the next.
        """
        aiokafka_internals.set_fetch(
            client,
            min_bytes=_GATHER_BYTES if trickles else 1,
            max_wait_ms=_GATHER_MS if trickles else _POLL_MS,
        )

    async def read_singly(self, client: AIOKafkaConsumer) -> FetchedBatch:
        """Read one record of each partition; for one that the client cannot parse, an `Unreadable`."""
        fetched: dict[TopicPartition, list[Any]] = {}
        for tp in sorted(client.assignment()):
            position = await client.position(tp)
            try:
                fetched |= await client.getmany(tp, timeout_ms=_POLL_MS // 5, max_records=1)
            except (ValueError, TypeError, IndexError) as error:
                client.seek(tp, position + 1)
                fetched[tp] = [Unreadable(tp.topic, tp.partition, position, error)]
        return FetchedBatch(self._read(fetched), sum(map(len, fetched.values())), self._gate.generation)

    def _read(self, fetched: dict[TopicPartition, list[Any]]) -> list[Item]:
        for tp, records in fetched.items():
            self._progress.fetched(tp, records)
        return [self._applier.read(*admitted) for admitted in self._gate.admit(fetched)]


class Consumer:
    """One member of a group. The offsets in the database decide; those in Kafka are for lag tools."""

    def __init__(
        self,
        bootstrap: str | Brokers,
        topics: tuple[str, ...],
        *,
        database: Database,
        inbox: Inbox,
        applier: Applier,
        on_commit: Callable[[], None] = lambda: None,
        batch_records: int = 1000,
        session_timeout_seconds: float = 12.0,
        connect: Callable[..., AIOKafkaConsumer] = group_client,
    ) -> None:
        """`connect`: makes the client, as `group_client` does."""
        self._bootstrap = bootstrap
        self.topics = topics
        self._database = database
        self._inbox = inbox
        self.group = inbox.consumer
        self._gate = Gate(database, inbox)
        self._applier = applier
        self._on_commit = on_commit
        self._batch_records = batch_records
        self._session_seconds = session_timeout_seconds
        self._connect = connect
        self._client: AIOKafkaConsumer | None = None
        self._stopping = asyncio.Event()
        self._applying: asyncio.Task[None] | None = None
        self._turned: float | None = None
        self._progress = Progress(self.group, topics)
        self._reader = BatchReader(self._gate, applier, self._progress)
        self._failures = 0
        self._fetch_at = 0.0
        self._joined = False
        self.halted: str | None = None
        """Why this consumer applies nothing until an operator has looked, or None."""
        self._mismatch: LogMismatch | None = None

    async def run(self) -> None:
        """Consume until `stop`. Raises only what a restart of the process may mend."""
        parts = [
            asyncio.create_task(self._consume()),
            asyncio.create_task(self._every(_HINT_SECONDS, self._progress.commit_to_kafka)),
            asyncio.create_task(self._every(_MEASURE_SECONDS, self._progress.measure)),
            asyncio.create_task(self._every(_COMPARE_SECONDS, self._compare_logs)),
            asyncio.create_task(
                self._every(_LETTERS_SECONDS, lambda _: count_letters(self._database, self._inbox))
            ),
            asyncio.create_task(self._stopping.wait()),
        ]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            errors = await cancel_and_wait(*parts)
            await self._leave()
        for error in errors:
            raise error

    async def stop(self) -> None:
        """Ask the loop to finish the batch in hand and leave the group."""
        self._stopping.set()

    def since_last_turn(self) -> float:
        """Seconds since the loop last polled; the clock of liveness. 0 before the first attempt to join."""
        return 0.0 if self._turned is None else time.monotonic() - self._turned

    async def check(self) -> None:
        """Readiness. Raises NotReady before this is a member of the group, and when it has halted."""
        if self.halted:
            raise NotReady(self.halted)
        if not self._joined:
            raise NotReady("joining the consumer group")

    async def _consume(self) -> None:
        client = await self._join()
        while True:
            await self._turn(client)

    async def _join(self) -> AIOKafkaConsumer:
        while True:
            self._turned = time.monotonic()
            self._client = client = self._connect(
                self._bootstrap, self.group, session_timeout_seconds=self._session_seconds
            )
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await client.start()
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("consumer.not_connected", group=self.group, exc_info=error)
                await stopped(client)
                await asyncio.sleep(0.5)
            else:
                client.subscribe(self.topics, listener=self._gate)
                return client

    async def _turn(self, client: AIOKafkaConsumer) -> None:
        """Poll once, and start applying the records that came."""
        if self.halted:
            await self._stay_member(client)
            await asyncio.sleep(1)
            if self._mismatch:
                await self._look_again(client)
            return
        try:
            self._progress.opened(await self._gate.open(client))
            batch = await self._fetch(client)
        except FetcherDied:
            raise
        except LogMismatch as error:
            self._halt_for_logs(error)
        except NoOffsetForPartitionError as error:
            # Of a partition that was never opened. To close the others would drop what just came for them.
            self._gate.close(error.args)
        except OffsetOutOfRangeError:
            self._gate.close_all()
        except Exception as error:  # broker or database away: keep polling, never advance
            self._gate.close_all()
            _log.warning("consumer.turn_failed", group=self.group, exc_info=error)
            await asyncio.sleep(random.uniform(0.2, 1.0))
            await self._stay_member(client)
        else:
            if not batch.items:
                return
            await self._previous_applied(client)
            if self._gate.generation == batch.generation:
                self._applying = asyncio.create_task(self._apply(batch.items))
            else:  # the batch before was not applied, or the partitions are not ours any more
                self._read_again(batch.items)

    async def _fetch(self, client: AIOKafkaConsumer) -> FetchedBatch:
        # After a failure ask for fewer records: a batch that was too large must not be tried again as it was.
        at_most = max(1, self._batch_records >> self._failures)
        if self._fetch_at:
            # Records that come while the batch in hand is applied join the next one, and delay it by nothing.
            await self._previous_applied(client)
            await asyncio.sleep(self._fetch_at - time.monotonic())
        try:
            batch = await self._reader.read(client, at_most)
        except UnparsableRecord:  # ask for fewer, until the record on which the parser breaks stands alone
            self._gate.close_all()
            self._failures += 1
            if at_most > 1:
                return FetchedBatch([], 0, self._gate.generation)
            self._progress.opened(await self._gate.open(client))
            batch = await self._reader.read_singly(client)
        self._polled()
        trickles = 0 < batch.taken < min(at_most, _TRICKLE_RECORDS)
        self._fetch_at = time.monotonic() + _GATHER_SECONDS if trickles else 0.0
        self._reader.let_brokers_gather(client, trickles=trickles)
        return batch

    async def _previous_applied(self, client: AIOKafkaConsumer) -> None:
        """Wait until the batch in hand is applied, and poll meanwhile.

        A member that does not poll is removed from the group and never comes back (aiokafka #1187).
        """
        while self._applying is not None and not self._applying.done():
            await asyncio.wait({self._applying}, timeout=1)
            if not self._applying.done():
                await self._stay_member(client)
        if self._applying is not None:
            self._applying.result()

    async def _stay_member(self, client: AIOKafkaConsumer) -> None:
        """Poll without taking a record."""
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(1):
                await client.getmany(_NOWHERE, timeout_ms=0)
            self._polled()

    def _polled(self) -> None:
        self._joined = True
        self._turned = time.monotonic()
        metrics.LAST_POLL.labels(self.group).set_to_current_time()

    async def _apply(self, items: list[Item]) -> None:
        """Apply one batch. After any failure its partitions are read again from the stored offsets."""
        started = time.monotonic()
        try:
            await self._applier.apply(items)
        except TooManyDeadLetters as error:
            self._halt(str(error))
        except PartitionsLost as lost:
            _log.info("consumer.partition_moved", group=self.group, partitions=len(lost.partitions))
            self._read_again(items)
        except Exception as error:  # transient, or unknown whether the COMMIT arrived
            self._failures += 1
            metrics.RETRIES.labels(self.group, type(error).__name__).inc()
            _log.warning("batch.put_off", group=self.group, attempt=self._failures, exc_info=error)
            self._read_again(items)
            await asyncio.sleep(random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2 ** min(self._failures, 6)))
        else:
            self._failures = 0
            metrics.PROCESSING_DURATION.labels(self.group).observe(time.monotonic() - started)
            self._progress.applied(items)
            self._on_commit()

    def _read_again(self, items: list[Item]) -> None:
        self._gate.close({TopicPartition(item.topic, item.partition) for item in items})

    def _halt(self, reason: str) -> None:
        self.halted = reason
        self._gate.close_all()  # records that were fetched meanwhile are not applied either
        metrics.CONSUMER_PAUSED.labels(self.group).set(1)
        _log.critical("consumer.halted", group=self.group, reason=reason)

    def _halt_for_logs(self, mismatch: LogMismatch) -> None:
        """Apply nothing of any topic, also of those that are as they were: one order for all is plain."""
        if self._mismatch is None or self._mismatch.faults != mismatch.faults:
            _log.critical("consumer.halted", group=self.group, reason=str(mismatch))
        self._mismatch = mismatch
        self.halted = str(mismatch)
        self._gate.close_all()
        self._progress.forget()
        metrics.show_log_faults(self.topics, mismatch.faults)

    async def _compare_logs(self, client: AIOKafkaConsumer) -> None:
        """Halt when a topic was made anew under this consumer, or is gone."""
        if self.halted:
            return
        try:
            await self._gate.compare(client, self.topics)
        except LogMismatch as mismatch:
            self._halt_for_logs(mismatch)
        except Exception as error:  # the next round compares
            _log.info("consumer.not_compared", group=self.group, exc_info=error)

    async def _look_again(self, client: AIOKafkaConsumer) -> None:
        """Go on once an operator has adopted the logs that Kafka has."""
        try:
            await self._gate.compare(client, self.topics)
            opened = await self._gate.open(client)
        except LogMismatch as mismatch:
            self._halt_for_logs(mismatch)
        except Exception as error:  # broker or database away: it stays halted
            _log.info("consumer.not_compared", group=self.group, exc_info=error)
        else:
            if self._gate.has_closed and not opened:
                return
            self._progress.opened(opened)
            self._mismatch = self.halted = None
            metrics.show_log_faults(self.topics, {})
            _log.warning("consumer.goes_on", group=self.group, partitions=len(opened))

    async def _leave(self) -> None:
        """Finish the batch in hand, commit the offsets to Kafka, leave the group; each with a time limit."""
        if self._applying is not None:
            await asyncio.wait({self._applying}, timeout=_LEAVE_SECONDS)
            await cancel_and_wait(self._applying)
        if self._client is not None:
            await self._progress.commit_to_kafka(self._client, within_seconds=0.5)
            await stopped(self._client, within_seconds=1)

    async def _every(self, seconds: float, work: Callable[[AIOKafkaConsumer], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self._client is not None:
                await work(self._client)
