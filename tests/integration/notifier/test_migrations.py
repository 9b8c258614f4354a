"""The migration makes what tables.py says."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from services.notifier.tables import SCHEMA, metadata
from shared.db.database import async_url

EVERYBODYS = {"erasures", "progress", "dead_letters", "leases", "outbox", "migrations"}


def difference(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "include_schemas": True,
            "include_name": lambda name, kind, _: (
                name == SCHEMA if kind == "schema" else name not in EVERYBODYS
            ),
            "version_table_schema": SCHEMA,
            "version_table": "migrations",
        },
    )
    return list(compare_metadata(context, metadata))


def partial_indexes(connection: Connection) -> dict[str, str]:
    found = {}
    for table in metadata.sorted_tables:
        for index in inspect(connection).get_indexes(table.name, schema=SCHEMA):
            found[str(index["name"])] = str(index.get("dialect_options", {}).get("postgresql_where", ""))
    return found


class TestTheSchema:
    async def test_is_what_the_tables_say(self, database_url: str) -> None:
        engine = create_async_engine(async_url(database_url))
        async with engine.connect() as connection:
            assert await connection.run_sync(difference) == []
            where = await connection.run_sync(partial_indexes)
        await engine.dispose()

        assert "closed" in where["cases_one_live"]
        assert "pending" in where["deliveries_due"]
        assert "snoozed" in where["cases_snoozed"]
