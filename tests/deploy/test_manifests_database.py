"""The roles of PostgreSQL, on a real one: a service does its work in its own schema, nothing elsewhere."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres import PostgresServer
from shared.db import migrations
from tests.deploy.manifests import K8S, SERVICES, one, render

ROLES = (K8S / "components/postgres-cnpg/roles.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("roles"))
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@pytest.fixture(scope="module")
async def url(server: PostgresServer) -> str:
    """The database as CloudNativePG makes it: its owner, then roles.sql, twice; then our migrations."""
    admin = await asyncpg.connect(server.url)
    await admin.execute("CREATE ROLE closeloop_migrate LOGIN PASSWORD 'secret'")
    await admin.execute("CREATE DATABASE production OWNER closeloop_migrate")
    await admin.close()
    address = _as(server.url, database="production")
    admin = await asyncpg.connect(address)
    for _ in range(2):
        await admin.execute(ROLES.replace("DATABASE closeloop", "DATABASE production"))
    for name in SERVICES:  # what the managed roles of the cluster add
        await admin.execute(f"ALTER ROLE closeloop_{name} LOGIN PASSWORD 'secret'")
    await admin.close()
    for package in migrations.PACKAGES:
        await migrations.migrate(_as(address, user="closeloop_migrate"), package)
    return address


def _as(address: str, *, user: str = "", database: str = "") -> str:
    scheme, rest = address.split("://")
    sign_in, place = rest.split("@")
    host, name = place.split("/")
    return f"{scheme}://{f'{user}:secret' if user else sign_in}@{host}/{database or name}"


@pytest.fixture(params=SERVICES)
async def role(url: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    connection = await asyncpg.connect(_as(url, user=f"closeloop_{request.param}"))
    yield request.param, connection
    await connection.close()


async def _rights(connection: asyncpg.Connection, schema: str) -> set[tuple[str, str]]:
    rows = await connection.fetch(
        """SELECT c.relname, p.privilege FROM pg_class c
           JOIN pg_namespace n ON n.oid = c.relnamespace,
           unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) p(privilege)
           WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND has_table_privilege(c.oid, p.privilege)""",
        schema,
    )
    return {(row[0], row[1]) for row in rows}


async def _tables(url: str, schema: str) -> set[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    await connection.close()
    return {row[0] for row in rows}


class TestService:
    async def test_reads_and_writes_all_rows_of_its_schema_and_of_access(
        self, role: tuple[str, asyncpg.Connection], url: str
    ) -> None:
        name, connection = role
        for schema in (name, "access"):
            tables = await _tables(url, schema)

            assert tables
            assert await _rights(connection, schema) == {
                (table, right) for table in tables for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
            }

    async def test_uses_the_sequences(self, role: tuple[str, asyncpg.Connection]) -> None:
        name, connection = role
        usable = await connection.fetchval(
            """SELECT coalesce(bool_and(has_sequence_privilege(c.oid, 'USAGE')), true) FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname IN ($1, 'access') AND c.relkind = 'S'""",
            name,
        )

        assert usable

    async def test_sees_nothing_of_the_others(self, role: tuple[str, asyncpg.Connection]) -> None:
        name, connection = role
        for other in {*SERVICES} - {name}:
            allowed = await connection.fetchval("SELECT has_schema_privilege($1, 'USAGE')", other)

            assert not allowed
            assert await _rights(connection, other) == set()

    async def test_changes_no_table(self, role: tuple[str, asyncpg.Connection]) -> None:
        name, connection = role
        for statement in (
            f"CREATE TABLE {name}.more (id int)",
            "CREATE SCHEMA more",
            f"DROP TABLE {name}.migrations",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)

    async def test_finds_its_schema_at_head(self, role: tuple[str, asyncpg.Connection], url: str) -> None:
        name, _ = role
        for package in ("shared.access", f"services.{name}"):
            await migrations.check(_as(url, user=f"closeloop_{name}"), package)


def test_the_cluster_has_these_roles_and_runs_this_file(tmp_path: Path) -> None:
    spec = one(render("prod"), "Cluster", "closeloop-db")["spec"]

    assert {role["name"] for role in spec["managed"]["roles"]} == {f"closeloop_{name}" for name in SERVICES}
    assert all(role["login"] and not role.get("superuser") for role in spec["managed"]["roles"])
    (reference,) = spec["bootstrap"]["initdb"]["postInitApplicationSQLRefs"]["configMapRefs"]
    assert one(render("prod"), "ConfigMap", reference["name"])["data"][reference["key"]] == ROLES
    assert spec["bootstrap"]["initdb"]["database"] == "closeloop"
