"""The one owner of transactions, and which errors are worth another try."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from deploy.local.stack import LocalStack
from shared.db import Database, Raced, asyncpg_connection, is_transient


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=2, statement_timeout_seconds=1)
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE IF NOT EXISTS public.scratch (id int PRIMARY KEY, t text)"))
        await session.execute(text("TRUNCATE public.scratch"))
    yield database
    await database.close()


async def count(database: Database) -> int:
    async with database.transaction() as session:
        return int((await session.execute(text("SELECT count(*) FROM public.scratch"))).scalar_one())


async def sessions(database: Database, application: str) -> int:
    """How many connections the server has of it."""
    async with database.transaction() as session:
        found = await session.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"),
            {"name": application},
        )
    return int(found.scalar_one())


class TestTransaction:
    async def test_commits_when_its_block_ends_well(self, database: Database) -> None:
        async with database.transaction() as session:
            await session.execute(text("INSERT INTO public.scratch VALUES (1)"))

        assert await count(database) == 1

    async def test_rolls_back_when_it_does_not(self, database: Database) -> None:
        with pytest.raises(KeyError):
            async with database.transaction() as session:
                await session.execute(text("INSERT INTO public.scratch VALUES (1)"))
                raise KeyError

        assert await count(database) == 0

    async def test_rolls_back_when_cancelled(self, database: Database) -> None:
        async def work() -> None:
            async with database.transaction() as session:
                await session.execute(text("INSERT INTO public.scratch VALUES (1)"))
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait({task})

        assert await count(database) == 0
        assert database.pool_in_use == 0

    async def test_includes_what_goes_past_sqlalchemy(self, database: Database) -> None:
        with pytest.raises(KeyError):
            async with database.transaction() as session:
                connection = await asyncpg_connection(session)  # before any statement of SQLAlchemy's
                await connection.execute("INSERT INTO public.scratch VALUES (1)")
                raise KeyError

        assert await count(database) == 0

    async def test_commits_what_goes_past_sqlalchemy(self, database: Database) -> None:
        async with database.transaction() as session:
            await (await asyncpg_connection(session)).execute("INSERT INTO public.scratch VALUES (1)")

        assert await count(database) == 1


class TestSnapshot:
    async def test_sees_one_moment(self, database: Database) -> None:
        async with database.snapshot() as session:
            before = (await session.execute(text("SELECT count(*) FROM public.scratch"))).scalar_one()
            async with database.transaction() as other:
                await other.execute(text("INSERT INTO public.scratch VALUES (1)"))
            after = (await session.execute(text("SELECT count(*) FROM public.scratch"))).scalar_one()

        assert before == after == 0
        assert await count(database) == 1

    async def test_writes_nothing_and_leaves_the_connection_as_it_was(self, database: Database) -> None:
        with pytest.raises(DBAPIError, match="read-only"):
            async with database.snapshot() as session:
                await session.execute(text("INSERT INTO public.scratch VALUES (1)"))
        async with database.transaction() as one, database.transaction() as two:
            for session in (one, two):
                await session.execute(text("UPDATE public.scratch SET t = ''"))
                isolation = (await session.execute(text("SHOW transaction_isolation"))).scalar_one()
                assert isolation == "read committed"


async def error_of(database: Database, *statements: str, past_sqlalchemy: bool) -> BaseException:
    try:
        async with database.transaction() as session:
            connection = await asyncpg_connection(session)
            for statement in statements:
                if past_sqlalchemy:
                    await connection.execute(statement)
                else:
                    await session.exec_driver_sql(statement)
    except Exception as error:
        return error
    raise AssertionError(statements)


RAISE = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{}'; END $$"
KILL = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.mark.parametrize("past_sqlalchemy", [True, False], ids=["asyncpg_connection", "sqlalchemy"])
class TestIsTransient:
    @pytest.mark.parametrize(
        ("what", "statement"),
        [
            ("serialization failure", RAISE.format("40001")),
            ("deadlock", RAISE.format("40P01")),
            ("lock timeout", RAISE.format("55P03")),
            ("statement timeout", "SELECT pg_sleep(1.3)"),
            ("read-only standby", RAISE.format("25006")),
            ("idle in transaction", RAISE.format("25P03")),
            ("too many connections", RAISE.format("53300")),
            ("disk full", RAISE.format("53100")),
            ("shutting down", RAISE.format("57P01")),
            ("starting up", RAISE.format("57P03")),
            ("I/O error", RAISE.format("58030")),
            ("connection failure", RAISE.format("08006")),
            ("lost race", RAISE.format("23505")),
            ("session killed", KILL),
        ],
    )
    async def test_of_what_passes(
        self, database: Database, what: str, statement: str, past_sqlalchemy: bool
    ) -> None:
        assert is_transient(await error_of(database, statement, past_sqlalchemy=past_sqlalchemy))

    @pytest.mark.parametrize(
        ("what", "statement"),
        [
            ("not a number", "SELECT 'x'::int"),
            ("not in the encoding", r"SELECT convert_from('\xff', 'UTF8')"),
            ("NUL", r"SELECT '\u0000'::jsonb ->> 0"),
            ("NUL in jsonb", """SELECT ('"\\u0000"'::jsonb) #>> '{}'"""),
            ("too large a number", "SELECT 3000000000::int"),
            ("null where none may be", "INSERT INTO public.scratch VALUES (NULL)"),
            ("no such table", "SELECT * FROM no_such_table"),
            ("too complex", RAISE.format("54001")),
            ("syntax", "SELEC 1"),
        ],
    )
    async def test_not_of_what_will_never_pass(
        self, database: Database, what: str, statement: str, past_sqlalchemy: bool
    ) -> None:
        assert not is_transient(await error_of(database, statement, past_sqlalchemy=past_sqlalchemy))

    async def test_not_of_a_value_that_cannot_be_sent(
        self, database: Database, past_sqlalchemy: bool
    ) -> None:
        with pytest.raises(Exception, match="invalid input for query argument") as caught:
            async with database.transaction() as session:
                if past_sqlalchemy:
                    await (await asyncpg_connection(session)).fetch("SELECT $1::int", "x")
                else:
                    await session.execute(text("SELECT CAST(:x AS int)"), {"x": "x"})

        assert not is_transient(caught.value)

    async def test_of_a_plan_that_a_migration_made_stale(
        self, database: Database, database_url: str, past_sqlalchemy: bool
    ) -> None:
        async def select() -> None:
            async with database.transaction() as session:
                if past_sqlalchemy:
                    await (await asyncpg_connection(session)).fetch("SELECT * FROM public.scratch")
                else:
                    await session.exec_driver_sql("SELECT * FROM public.scratch")

        await select()
        other = Database(database_url)
        async with other.transaction() as session:
            await session.exec_driver_sql("ALTER TABLE public.scratch ADD COLUMN IF NOT EXISTS more text")
            await session.exec_driver_sql("ALTER TABLE public.scratch ALTER COLUMN t TYPE varchar")
        await other.close()
        try:
            await select()
        except Exception as error:
            assert is_transient(error)
        await select()
        async with database.transaction() as session:
            await session.exec_driver_sql("DROP TABLE public.scratch")


class TestTheRest:
    @pytest.mark.parametrize("error", [Raced(), TimeoutError(), ConnectionRefusedError(), OSError()])
    def test_what_is_away_may_come(self, error: Exception) -> None:
        assert is_transient(error)

    @pytest.mark.parametrize("error", [ValueError(), KeyError(), TypeError(), RecursionError()])
    def test_a_fault_of_ours_stays(self, error: Exception) -> None:
        assert not is_transient(error)


class TestAPoolThatIsUsedUp:
    async def test_says_so_in_time(self, database: Database) -> None:
        async with database.transaction(), database.transaction():
            started = time.monotonic()
            with pytest.raises(Exception, match="QueuePool") as caught:
                async with database.transaction():
                    pass

        assert is_transient(caught.value)
        assert time.monotonic() - started < 8


class TestClosing:
    async def test_leaves_no_connection_open_that_was_being_opened(
        self, database: Database, database_url: str
    ) -> None:
        name = f"closing-{uuid4().hex}"
        closing = Database(database_url, application=name)

        async def read() -> None:
            async with closing.transaction() as session:
                await session.execute(text("SELECT 1"))

        readers = [asyncio.create_task(read()) for _ in range(8)]
        await asyncio.sleep(0)
        await closing.close()
        ended = await asyncio.gather(*readers, return_exceptions=True)

        assert all(is_transient(error) for error in ended if error)
        async with asyncio.timeout(5):
            while await sessions(database, name):
                await asyncio.sleep(0.02)


class TestAConnectionThatTheServerEnded:
    async def test_is_replaced_before_anything_runs_on_it(
        self, database: Database, database_url: str
    ) -> None:
        used = Database(database_url, pool_size=1)
        async with used.transaction() as session:
            connection = await asyncpg_connection(session)
            pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        async with asyncio.timeout(5):
            while not connection.is_closed():
                await asyncio.sleep(0.01)
        async with used.transaction() as session:
            assert (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one() != pid
        await used.close()


class TestAFrozenServer:
    async def test_ends_a_transaction_in_bounded_time_and_serves_again(
        self, database: Database, stack: LocalStack
    ) -> None:
        stack.postgres.pause()
        try:
            started = time.monotonic()
            with pytest.raises(Exception) as caught:
                async with database.transaction() as session:
                    await session.execute(text("SELECT 1"))
            with pytest.raises(TimeoutError):
                await database.ping()
            took = time.monotonic() - started
        finally:
            stack.postgres.resume()

        assert is_transient(caught.value)
        assert took < 12
        assert await count(database) == 0
        assert database.pool_in_use == 0
