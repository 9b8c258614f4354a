"""The embedded PostgreSQL: starts also as root, keeps its address and its data, survives kill -9."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import asyncpg
import psutil
import pytest

from deploy.local.postgres import PostgresServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@contextlib.asynccontextmanager
async def connected(server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url, timeout=5)
    try:
        yield connection
    finally:
        connection.terminate()


def restart(server: PostgresServer) -> None:
    server.start()
    server.wait_ready()


class TestPostgresServer:
    async def test_serves_the_database_durably(self, server: PostgresServer) -> None:
        async with connected(server) as connection:
            assert await connection.fetchval("SELECT current_database()") == "closeloop"
            assert await connection.fetchval("SHOW fsync") == "on"
            assert await connection.fetchval("SHOW max_connections") == "200"

    async def test_refuses_a_client_without_the_password(self, server: PostgresServer) -> None:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url, password="guess", timeout=5)

    async def test_keeps_address_and_committed_rows_over_kill_9(self, server: PostgresServer) -> None:
        async with connected(server) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 41 AS answer")
        url, pid = server.url, server.pid
        server.kill()
        assert server.pid is None
        restart(server)

        assert server.url == url
        assert server.pid != pid
        async with connected(server) as connection:
            assert await connection.fetchval("SELECT answer FROM kept") == 41

    async def test_starts_although_a_busy_backend_outlived_the_postmaster(
        self, server: PostgresServer
    ) -> None:
        async with connected(server) as connection:
            busy = asyncio.create_task(connection.execute("DO $$ BEGIN LOOP END LOOP; END $$"))
            backend = connection.get_server_pid()
            await asyncio.sleep(0.3)
            server.kill()
            await asyncio.sleep(0.3)
            assert psutil.pid_exists(backend)
            restart(server)
            with pytest.raises((OSError, asyncpg.PostgresError)):
                await busy

        assert not psutil.pid_exists(backend)

    async def test_pausing_holds_open_sessions(self, server: PostgresServer) -> None:
        async with connected(server) as connection:
            server.pause()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(
                    asyncio.shield(one := asyncio.ensure_future(connection.fetchval("SELECT 1"))), 0.5
                )
            server.resume()

            assert await asyncio.wait_for(one, 5) == 1

    async def test_starts_with_a_stale_lock_file_that_names_a_living_process(
        self, server: PostgresServer
    ) -> None:
        server.stop()
        lock = server.cluster / "postmaster.pid"
        lock.write_text(f"{psutil.Process().pid}\n{server.cluster}\n")
        restart(server)

        assert server.pid is not None
