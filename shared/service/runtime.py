"""The parts of a service: built here, started in order when everything is in place, stopped in reverse."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from shared.access import Keyring
from shared.access.roster import Roster
from shared.config import Config
from shared.db import Database, Inbox, Lease, Outbox, migrations
from shared.db.dead_letters import DeadLetters
from shared.events import Event
from shared.events.topics import ERASURES, TOPICS, Topic
from shared.jobs.rounds import AgeOutJob, oldest_erasure_seconds
from shared.kafka import (
    Applier,
    Brokers,
    Consumer,
    Handler,
    OutboxRelay,
    Producer,
    StatePublisher,
    StateSource,
    TopicsMissing,
)
from shared.kafka.log_watch import LogWatch
from shared.kafka.traced import TracedApplier, TracedProducer
from shared.ops import metrics, tracing
from shared.ops.health import Health, NotReady
from shared.ops.logs import log
from shared.ops.settings import ListenSettings, PlatformSettings, redacted
from shared.service.serving import Loops, ServedPart

_log = log("ops")


class Job(Protocol):
    """Work beside the API. `run` returns soon after `stop` was called."""

    async def run(self) -> None: ...

    async def stop(self) -> None: ...


class Runtime:
    """Database, keys, producer, consumers and jobs of one process.

    The process serves at once, and it is ready when schema, keys and topics are in place, so that services,
    broker and database may start in any order. Use it as `async with runtime.running():`.
    """

    def __init__(
        self,
        service: str,
        platform: PlatformSettings,
        listen: ListenSettings,
        config: Config,
        *,
        loops: Loops,
        only: ServedPart | None = None,
    ) -> None:
        self.service = service
        self.config = config
        self.secrets = platform.secrets
        self.loops = loops
        self.only = only
        self._url = platform.database_url.get_secret_value()
        self._bootstrap = Brokers(
            platform.kafka_bootstrap_servers,
            platform.kafka_username,
            platform.kafka_password.get_secret_value(),
            platform.kafka_ca_file,
        )
        self._settings = redacted(platform, listen)
        self.database = Database(self._url, pool_size=listen.pool_size, application=f"closeloop-{service}")
        metrics.DB_POOL.labels("in_use").set_function(lambda: self.database.pool_in_use)
        metrics.DB_POOL.labels("idle").set_function(lambda: self.database.pool_idle)
        self.keyring = Keyring(self.database, self.secrets.pepper)
        self.producer = (TracedProducer if tracing.started() else Producer)(self._bootstrap)
        self._consumers: list[Consumer] = []
        self._jobs: dict[str, Job] = {}
        self._log_watch: LogWatch | None = None
        self._looks: dict[str, Callable[[], Awaitable[object]]] = {}
        self._roster: Roster | None = None
        self._booted = "starting"
        self.health = Health(
            {
                "boot": self._check_boot,
                "postgres": self.database.ping,
                "kafka": self.producer.check,
                "keys": self.keyring.check,
            }
        )

    @property
    def brokers(self) -> Brokers:
        """Where Kafka is, for a service that talks to it itself."""
        return self._bootstrap

    def consume(
        self,
        topics: tuple[Topic, ...],
        handlers: Mapping[type[Event], Handler],
        *,
        on_commit: Callable[[], None] = lambda: None,
        batch_records: int = 1000,
    ) -> None:
        """Read the topics as this service's consumer group. Not in a process that serves only the API."""
        if self.only == "api":
            return
        inbox = Inbox(self.service, f"closeloop-{self.service}")
        consumer = Consumer(
            self._bootstrap,
            tuple(topic.name for topic in topics),
            database=self.database,
            inbox=inbox,
            applier=(TracedApplier if tracing.started() else Applier)(self.database, inbox, handlers),
            on_commit=on_commit,
            batch_records=batch_records,
        )
        self._consumers.append(consumer)
        self._jobs["letters"] = AgeOutJob(self.database, DeadLetters(self.service).age_out, "letters")
        if ERASURES in topics:
            metrics.ERASURE_AGE.set_function(oldest_erasure_seconds)
        self.health.add("consumer", consumer.check, consumer.since_last_turn)

    def roster(self) -> Roster:
        """The people who may sign in; a service that has pages calls this before it runs."""
        if self._roster is None:
            self._roster = Roster(self.database)
            self.health.require("people", self._roster.check)
        return self._roster

    def publish(self, name: str, source: StateSource) -> Callable[[], None]:
        """Publish a source's states under a lease; returns what wakes the publisher after a change."""
        if self.only == "api":
            return lambda: None
        publisher = StatePublisher(self.database, self._lease(name), self.producer, source, name=self.service)
        self._jobs[name] = publisher
        return publisher.ring

    def watch_logs(self, topics: Sequence[Topic]) -> None:
        """Be not ready while one of these topics, to which the API writes, was made anew or is gone."""
        names = [topic.name for topic in topics]
        self._log_watch = LogWatch(self.database, self.producer, self.service, names)
        self.health.require("logs", self._log_watch.check)

    def relay(self, name: str) -> Callable[[], None]:
        """Send the facts of this service's outbox under a lease; returns what wakes the relay."""
        if self.only == "api":
            return lambda: None
        relay = OutboxRelay(
            self.database, self._lease(name), self.producer, Outbox(self.service), name=self.service
        )
        self._jobs[name] = relay
        return relay.ring

    def job(self, name: str, job: Job) -> None:
        """Run a job of the service's own. Not in a process that serves only the API."""
        if self.only != "api":
            self._jobs[name] = job

    def look_first(self, name: str, look: Callable[[], Awaitable[object]]) -> None:
        """Call `look` before the first record is read and the first job runs, again until it does not raise.

        Not in a process that serves only the API.
        """
        if self.only != "api":
            self._looks[name] = look

    def _lease(self, name: str) -> Lease:
        return Lease(self.database, self.service, name)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything; at the end stop consumers and jobs first, then the producer and the database."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.database.close)
            stack.push_async_callback(self.producer.stop, 0.5)
            stack.push_async_callback(self.loops.close)
            stack.push_async_callback(self._stop_work)
            self.loops.start("health", self.health.watch())
            self.loops.start("watchdog", self.health.die_when_stuck())
            self.loops.start("boot", self._boot(), may_end=True)
            _log.info("service.started", settings=self._settings, version=self.config.version)
            yield
            self.health.stopping()

    async def _stop_work(self) -> None:
        """Ask consumers and jobs to stop, and wait at most 3 s for them."""
        for consumer in self._consumers:
            await consumer.stop()
        for job in self._jobs.values():
            await job.stop()
        names = [*self._jobs, *(f"consumer-{i}" for i in range(len(self._consumers)))]
        await self.loops.finish(*names, within_seconds=3)

    async def _check_boot(self) -> None:
        if self._booted != "done":
            raise NotReady(self._booted)

    async def _boot(self) -> None:
        """Wait for schema, keys and topics, then start consumers and jobs. Raises SchemaBehind."""
        await self._await("database", self._check_schema)
        await self._await("keys", self.keyring.refresh)
        self.loops.start("keys", self.keyring.keep_fresh())
        if self._roster:
            await self._await("people", self._roster.refresh)
            self.loops.start("people", self._roster.keep_fresh())
        await self._await("topics", lambda: self.producer.start(tuple(topic.name for topic in TOPICS)))
        if self._log_watch:
            await self._await("logs", self._log_watch.look)
            self.loops.start("logs", self._log_watch.run())
        for name, look in self._looks.items():
            await self._await(name, look)
        for index, consumer in enumerate(self._consumers):
            self.loops.start(f"consumer-{index}", consumer.run())
        for name, job in self._jobs.items():
            self.loops.start(name, job.run())
        self._booted = "done"
        _log.info("service.ready")

    async def _check_schema(self) -> None:
        for package in ("shared.access", f"services.{self.service}"):
            await migrations.check(self._url, package)

    async def _await(self, part: str, attempt: Callable[[], Awaitable[object]]) -> None:
        self._booted = f"waiting for {part}"
        lacking: set[str] = set()
        while True:
            try:
                async with asyncio.timeout(20):
                    await attempt()
            except migrations.SchemaBehind as error:
                _log.critical("schema.behind", reason=str(error))
                raise
            except TopicsMissing as error:
                self._booted = str(error)
                metrics.show_log_faults(error.topics, error.topics)
                lacking.update(error.topics)
                _log.warning("boot.waiting", reason=part, exc_info=error)
                await asyncio.sleep(0.5)
            except Exception as error:  # not there yet: try again
                _log.warning("boot.waiting", reason=part, exc_info=error)
                await asyncio.sleep(0.5)
            else:
                metrics.DEPENDENCY_UP.labels(part).set(1)
                metrics.show_log_faults(lacking, ())
                return
