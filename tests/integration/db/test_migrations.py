"""Each package's schema: at or ahead of the code, never behind."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import asyncpg
import pytest

from shared.db import migrations
from shared.db.migrations import SchemaBehind

REVISION = """
from alembic import op
revision, down_revision = {revision!r}, {down!r}
def upgrade():
    op.execute("CREATE TABLE {schema}.t{revision} (id int)")
"""

WAITS_FOR = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted)"


class Package:
    """A package with migrations, made for one test."""

    def __init__(self, folder: Path) -> None:
        self.name = f"pkg_{uuid4().hex[:12]}"
        self.folder = folder / self.name / "migrations"
        self.folder.mkdir(parents=True)
        module = ModuleType(self.name)
        module.__path__ = [str(self.folder.parent)]
        sys.modules[self.name] = module

    def add(self, revision: str, down: str | None = None) -> None:
        source = REVISION.format(revision=revision, down=down, schema=self.name)
        (self.folder / f"{revision}_change.py").write_text(source)

    def run(self, revision: str, down: str, statement: str) -> None:
        (self.folder / f"{revision}_change.py").write_text(
            f"from alembic import op\nrevision, down_revision = {revision!r}, {down!r}\n"
            f"def upgrade():\n    op.execute({statement!r})\n"
        )

    def remove(self, revision: str) -> None:
        (self.folder / f"{revision}_change.py").unlink()


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Package]:
    package = Package(tmp_path)
    package.add("0001")
    yield package
    del sys.modules[package.name]


async def tables(url: str, package: Package) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", package.name)
    finally:
        await connection.close()
    return {row[0] for row in rows}


class TestMigrate:
    async def test_twice_is_harmless(self, database_url: str, package: Package) -> None:
        assert await migrations.migrate(database_url, package.name) == "0001"
        assert await migrations.migrate(database_url, package.name) == "0001"
        await migrations.check(database_url, package.name)

        assert await tables(database_url, package) == {"migrations", "t0001"}

    async def test_runs_only_what_is_missing(self, database_url: str, package: Package) -> None:
        await migrations.migrate(database_url, package.name)
        package.add("0002", "0001")
        with pytest.raises(SchemaBehind, match=r"is at 0001, this code needs 0002: run `closeloop migrate`"):
            await migrations.check(database_url, package.name)

        assert await migrations.migrate(database_url, package.name) == "0002"
        await migrations.check(database_url, package.name)

    async def test_at_the_same_time_is_harmless(self, database_url: str, package: Package) -> None:
        package.add("0002", "0001")
        await asyncio.gather(*(migrations.migrate(database_url, package.name) for _ in range(4)))

        assert await tables(database_url, package) == {"migrations", "t0001", "t0002"}

    async def test_that_fails_leaves_what_came_before_and_goes_on_from_there(
        self, database_url: str, package: Package
    ) -> None:
        (package.folder / "0002_change.py").write_text(
            "from alembic import op\nrevision, down_revision = '0002', '0001'\n"
            "def upgrade():\n    op.execute('CREATE SCHEMA half')\n    op.execute('no sql')\n"
        )
        with pytest.raises(Exception, match="syntax error"):
            await migrations.migrate(database_url, package.name)
        assert await tables(database_url, package) == {"migrations", "t0001"}

        package.add("0002", "0001")
        assert await migrations.migrate(database_url, package.name) == "0002"
        assert await tables(database_url, package) == {"migrations", "t0001", "t0002"}

    async def test_keeps_no_table_locked_during_those_that_follow(
        self, database_url: str, package: Package
    ) -> None:
        package.add("0002", "0001")
        package.add("0003", "0002")
        await migrations.migrate(database_url, package.name)
        package.run("0004", "0003", f"ALTER TABLE {package.name}.t0001 ADD COLUMN more text")
        package.run("0005", "0004", f"LOCK TABLE {package.name}.t0002")
        package.run("0006", "0005", f"ALTER TABLE {package.name}.t0003 ADD COLUMN more text")
        held = await asyncpg.connect(database_url)
        try:
            async with held.transaction():
                await held.execute(f"LOCK TABLE {package.name}.t0002 IN ACCESS SHARE MODE")
                migrating = asyncio.create_task(migrations.migrate(database_url, package.name))
                while not await held.fetchval(WAITS_FOR, f"{package.name}.t0002"):
                    assert not migrating.done()
                await held.execute("SET LOCAL lock_timeout = '1s'")
                await held.execute(f"SELECT more FROM {package.name}.t0001")
        finally:
            await held.close()

        assert await migrating == "0006"


class TestCheck:
    async def test_nothing_at_all_is_behind(self, database_url: str, package: Package) -> None:
        with pytest.raises(SchemaBehind, match="is at nothing"):
            await migrations.check(database_url, package.name)

    async def test_a_database_ahead_of_the_code_is_fine_and_left_alone(
        self, database_url: str, package: Package
    ) -> None:
        package.add("0002", "0001")
        await migrations.migrate(database_url, package.name)
        package.remove("0002")
        await migrations.check(database_url, package.name)
        await migrations.migrate(database_url, package.name)

        assert await tables(database_url, package) == {"migrations", "t0001", "t0002"}
