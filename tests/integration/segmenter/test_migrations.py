"""The migrations make the tables that `tables.py` describes."""

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from services.segmenter.tables import metadata
from shared.db.database import async_url

OURS = set(metadata.tables)
_PLUMBING = {"erasures", "progress", "dead_letters", "leases", "outbox", "migrations"}


def differences(connection: Connection) -> list[Any]:
    def ours(name: str | None, kind: str, parent: dict[str, Any]) -> bool:
        if kind == "schema":
            return name == "segmenter"
        return kind != "table" or name not in _PLUMBING

    options = {
        "include_schemas": True,
        "include_name": ours,
        "compare_type": True,
        "compare_server_default": True,
    }
    found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return [one for one in found if not _only_a_comment(one)]


def _only_a_comment(difference: Any) -> bool:
    return isinstance(difference, list) and all(part[0] == "modify_comment" for part in difference)


async def test_the_migrated_schema_is_that_of_the_tables(database_url: str) -> None:
    engine = create_async_engine(async_url(database_url))
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await engine.dispose()
