import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.db import migrations
from shared.db.database import async_url
from shared.db.migrations import PACKAGES, SchemaBehind


async def say(database_url: str, revision: str) -> None:
    """Have the database say that the collector's schema is at this revision."""
    engine = create_async_engine(async_url(database_url))
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE collector.migrations SET version_num = :r"), {"r": revision})
    await engine.dispose()


class TestTheRevisionsOfAPackage:
    @pytest.mark.parametrize("package", PACKAGES)
    async def test_are_named_as_their_files(self, package: str, database_url: str) -> None:
        assert await migrations.migrate(database_url, package) == migrations.revisions(package)[-1]


class TestTheCheckAtBoot:
    async def test_passes_at_head(self, database_url: str) -> None:
        await migrations.check(database_url, "services.collector")

    async def test_passes_ahead_of_this_code(self, database_url: str) -> None:
        await say(database_url, "9999")
        try:
            await migrations.check(database_url, "services.collector")
        finally:
            await say(database_url, migrations.revisions("services.collector")[-1])

    async def test_fails_behind(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(migrations, "revisions", lambda _: ["0001", "0002"])
        with pytest.raises(SchemaBehind, match="is at 0001, this code needs 0002"):
            await migrations.check(database_url, "services.collector")

    async def test_fails_on_an_empty_database(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(migrations, "schema_of", lambda _: "nowhere")
        with pytest.raises(SchemaBehind, match="is at nothing"):
            await migrations.check(database_url, "services.collector")
