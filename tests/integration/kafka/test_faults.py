"""Engines die, freeze and come back; nothing is lost, nothing is doubled, nobody hangs."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence

import asyncpg
import pytest

from deploy.local.stack import LocalStack
from shared.db import Database, Session
from shared.events import Received
from shared.kafka import OutcomeCounts
from shared.ops.health import NotReady
from tests.integration.kafka.toy_group import Group, eventually


async def assert_exact(group: Group, records: int) -> None:
    times = Counter(await group.places())
    assert len(times) == records
    assert set(times.values()) == {1}
    assert await group.total() == records
    assert await group.letters() == []


async def applied(group: Group, records: int) -> bool:
    return await group.applied() >= records


async def in_thread(verb: object, *arguments: object) -> None:
    await asyncio.to_thread(verb, *arguments)  # type: ignore[arg-type]


class TestPostgreSQL:
    async def test_killed_and_started_again_while_consuming(self, group: Group, stack: LocalStack) -> None:
        await group.produce([group.record(f"id-{n}") for n in range(4000)])
        async with group.member(batch_records=20):
            await eventually(lambda: applied(group, 200))
            stack.postgres.kill()
            await eventually(lambda: group.failures() > 0)
            stack.postgres.start()
            await in_thread(stack.postgres.wait_ready)
            await eventually(lambda: applied(group, 4000))

        await assert_exact(group, 4000)

    async def test_frozen_for_longer_than_a_statement_may_take(self, group: Group, stack: LocalStack) -> None:
        await group.produce([group.record(f"id-{n}") for n in range(3000)])
        async with group.member(batch_records=20, statement_timeout_seconds=1) as consumer:
            await eventually(lambda: applied(group, 200))
            stack.postgres.pause()
            try:
                await eventually(lambda: group.failures() > 0)
                await eventually(lambda: consumer.since_last_turn() < 0.1)
            finally:
                stack.postgres.resume()
            await eventually(lambda: applied(group, 3000))

        await assert_exact(group, 3000)

    async def test_frozen_while_stopping(self, group: Group, stack: LocalStack) -> None:
        await group.produce([group.record(f"id-{n}") for n in range(3000)])
        database = Database(group.url)
        consumer = group.consumer(database, batch_records=20)
        loop = asyncio.create_task(consumer.run())
        await eventually(lambda: applied(group, 100))
        stack.postgres.pause()
        try:
            started = time.monotonic()
            await consumer.stop()
            await asyncio.wait({loop}, timeout=8)
            await database.close()
            took = time.monotonic() - started
        finally:
            stack.postgres.resume()

        assert loop.done()
        assert took < 8

    @pytest.mark.parametrize(
        "error",
        [
            asyncpg.DeadlockDetectedError("deadlock detected"),
            asyncpg.SerializationError("could not serialize access"),
            asyncpg.LockNotAvailableError("lock timeout"),
            asyncpg.QueryCanceledError("statement timeout"),
            asyncpg.IdleInTransactionSessionTimeoutError("idle"),
            asyncpg.ConnectionDoesNotExistError("closed"),
            asyncpg.InterfaceError("connection is closed"),
            asyncpg.InvalidCachedStatementError("cached statement plan is invalid"),
            asyncpg.UniqueViolationError("somebody was faster"),
            asyncpg.TooManyConnectionsError("too many clients"),
            asyncpg.DiskFullError("no space left"),
            TimeoutError(),
            ConnectionResetError(),
        ],
        ids=lambda error: type(error).__name__,
    )
    async def test_in_passing_trouble_is_only_asked_again(self, group: Group, error: Exception) -> None:
        raised = []

        async def troubled(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
            outcomes = await group.handle(session, batch)
            if not raised:
                raised.append(error)
                raise error
            return outcomes

        await group.produce([group.record("id-0")])  # alone: nothing is left to bisect
        async with group.member(handler=troubled):
            await eventually(lambda: applied(group, 1))

        await assert_exact(group, 1)

    async def test_that_committed_and_could_not_say_so_is_believed(self, group: Group) -> None:
        await group.produce([group.record(f"id-{n}") for n in range(400)])
        async with CommitsUnheard(group.url) as proxy, group.member(batch_records=50, url=proxy.url):
            await eventually(lambda: applied(group, 400))

        assert proxy.cut >= 2
        await assert_exact(group, 400)


class CommitsUnheard:
    """A proxy in front of PostgreSQL that cuts the connection instead of passing on a COMMIT's reply."""

    def __init__(self, url: str) -> None:
        self._at = url.rpartition("@")[2].partition("/")[0]
        self._url = url
        self.cut = 0
        self._pipes: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "CommitsUnheard":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = self._url.replace(self._at, f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        host, port = self._at.split(":")
        back, forth = await asyncio.open_connection(host, int(port))
        answers = asyncio.create_task(self._answers(back, writer))
        self._pipes.add(answers)
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                forth.write(data)
        answers.cancel()
        forth.transport.abort()

    async def _answers(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commits = 0
        with contextlib.suppress(OSError):
            while data := await back.read(65536):
                if b"COMMIT\0" in data:
                    commits += 1
                    if commits > 2 and self.cut < 4:
                        self.cut += 1
                        break
                writer.write(data)
        writer.transport.abort()


class TestKafka:
    async def test_killed_and_started_again_while_consuming(self, group: Group, stack: LocalStack) -> None:
        await group.produce([group.record(f"id-{n}") for n in range(2000)])
        async with group.member(batch_records=20) as consumer:
            await eventually(lambda: applied(group, 200))
            stack.kafka.kill()
            stack.kafka.start()
            await in_thread(stack.kafka.wait_ready)
            await group.produce([group.record(f"later-{n}") for n in range(1000)])
            await eventually(lambda: applied(group, 3000), within_seconds=60)
            await consumer.check()

        await assert_exact(group, 3000)

    async def test_frozen_for_twenty_seconds(self, group: Group, stack: LocalStack) -> None:
        await group.produce([group.record(f"id-{n}") for n in range(1000)])
        async with group.member(batch_records=20) as consumer:
            await eventually(lambda: applied(group, 200))
            stack.kafka.pause()
            worst = 0.0
            try:
                for _ in range(40):
                    await asyncio.sleep(0.5)
                    worst = max(worst, consumer.since_last_turn())
            finally:
                stack.kafka.resume()
            assert worst < 30  # nobody takes it for stuck
            await group.produce([group.record(f"later-{n}") for n in range(1000)])
            await eventually(lambda: applied(group, 2000), within_seconds=60)

        await assert_exact(group, 2000)

    @pytest.mark.parametrize("fault", ["killed", "frozen"])
    async def test_away_while_stopping(self, group: Group, stack: LocalStack, fault: str) -> None:
        await group.produce([group.record("id-0")])
        database = Database(group.url)
        consumer = group.consumer(database)
        loop = asyncio.create_task(consumer.run())
        await eventually(lambda: applied(group, 1))
        stack.kafka.kill() if fault == "killed" else stack.kafka.pause()
        try:
            started = time.monotonic()
            await consumer.stop()
            await asyncio.wait({loop}, timeout=8)
            took = time.monotonic() - started
        finally:
            if fault == "killed":
                stack.kafka.start()
            else:
                stack.kafka.resume()
            await in_thread(stack.kafka.wait_ready)
            await database.close()

        assert loop.done()
        assert loop.exception() is None
        assert took < 8

    async def test_frozen_while_joining_and_stopping(self, group: Group, stack: LocalStack) -> None:
        database = Database(group.url)
        consumer = group.consumer(database)
        stack.kafka.pause()
        try:
            loop = asyncio.create_task(consumer.run())
            await eventually(lambda: bool(group.clients))
            started = time.monotonic()
            await consumer.stop()
            await asyncio.wait({loop}, timeout=8)
            took = time.monotonic() - started
        finally:
            stack.kafka.resume()
            await in_thread(stack.kafka.wait_ready)
            await database.close()

        assert loop.done()
        assert took < 8

    async def test_not_there_yet(self, group: Group, stack: LocalStack) -> None:
        await group.produce([group.record("id-0")])
        stack.kafka.kill()
        async with group.member() as consumer:
            await asyncio.sleep(1)
            with pytest.raises(NotReady, match="joining"):
                await consumer.check()
            assert consumer.since_last_turn() < 5
            stack.kafka.start()
            await in_thread(stack.kafka.wait_ready)
            await eventually(lambda: applied(group, 1), within_seconds=60)
            await consumer.check()
