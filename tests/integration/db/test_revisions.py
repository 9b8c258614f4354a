"""The check at boot goes by file names; Alembic goes by what is in the files."""

import pytest

from shared.db import migrations
from shared.db.migrations import PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
async def test_the_newest_file_is_named_by_the_head(package: str, database_url: str) -> None:
    assert await migrations.migrate(database_url, package) == migrations.revisions(package)[-1]
