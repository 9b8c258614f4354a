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

    async def test_that_fails_leaves_nothing(self, database_url: str, package: Package) -> None:
        (package.folder / "0002_change.py").write_text(
            "from alembic import op\nrevision, down_revision = '0002', '0001'\n"
            "def upgrade():\n    op.execute('no sql')\n"
        )
        with pytest.raises(Exception, match="syntax error"):
            await migrations.migrate(database_url, package.name)

        assert await tables(database_url, package) == set()


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
