"""Run the migrations of one package (`<package>/migrations`), each in its own schema, with Alembic.

A service only checks its schema, and does so without Alembic, which would take 13 MB of every process for one
comparison. That is why the files are named by their revision (`0001_scorer.py`), which rises.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.db.database import async_url

PACKAGES = (
    "shared.access",
    "services.collector",
    "services.scorer",
    "services.segmenter",
    "services.notifier",
)

_LOCK = 7203_1157  # any fixed number: one migration at a time in this database


class SchemaBehind(RuntimeError):
    """The database lacks a migration that this code needs."""


def schema_of(package: str) -> str:
    return package.rsplit(".", 1)[-1]


def _folder(package: str) -> Path:
    return Path(next(iter(import_module(package).__path__))) / "migrations"


def revisions(package: str) -> list[str]:
    """The package's revisions, the newest last."""
    return sorted(file.stem.partition("_")[0] for file in _folder(package).glob("[0-9]*.py"))


def _upgrade(connection: Connection, package: str) -> tuple[str, bool]:
    """Run the next migration, if there is one. Returns the head, and whether nothing was left to do."""
    from alembic.config import Config  # noqa: PLC0415 - see above; here and in the two below
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    folder = str(_folder(package))
    schema, scripts = schema_of(package), ScriptDirectory(folder, version_locations=[folder])
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    head = scripts.get_current_head() or ""
    newest_first = [script.revision for script in scripts.walk_revisions()]
    following = dict(zip([*newest_first[1:], None], newest_first, strict=True))

    def next_one(heads: Any, _: object) -> Any:
        return scripts._upgrade_revs(following[next(iter(heads), None)], heads)  # noqa: SLF001 - as Alembic's own command does

    context = EnvironmentContext(Config(), scripts, fn=next_one)
    context.configure(
        connection=connection,
        version_table_schema=schema,
        version_table="migrations",
        transactional_ddl=False,
    )
    current = context.get_context().get_current_revision()
    if current not in following:
        return head, True
    context.run_migrations()
    return head, following[current] == head


async def migrate(database_url: str, package: str) -> str:
    """Bring the package's schema to the code's head; returns the revision. Harmless twice.

    Each migration has a transaction of its own, so that no table stays locked during those that follow. What
    was done stays done when a later one fails, or the process ends: the next call goes on from there. Others
    that migrate at the same time wait for each transaction, and then run whatever is next. A database that is
    ahead of this code (a newer release migrated it) is left alone.
    """
    engine = create_async_engine(async_url(database_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            done = False
            while not done:
                async with connection.begin():
                    head, done = await connection.run_sync(_upgrade, package)
            return head
    finally:
        await engine.dispose()


def _check(connection: Connection, package: str) -> None:
    schema, known = schema_of(package), revisions(package)
    table = connection.scalar(text("SELECT to_regclass(:table)"), {"table": f"{schema}.migrations"})
    current = connection.scalar(text(f"SELECT version_num FROM {schema}.migrations")) if table else None
    if current is None or current in known[:-1]:
        raise SchemaBehind(
            f"schema {schema} is at {current or 'nothing'}, this code needs {known[-1]}: "
            "run `closeloop migrate`"
        )


async def check(database_url: str, package: str) -> None:
    """Raises SchemaBehind unless the schema is at or ahead of this code's head."""
    engine = create_async_engine(async_url(database_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_check, package)
    finally:
        await engine.dispose()
