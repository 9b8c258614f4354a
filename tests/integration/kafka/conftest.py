from collections.abc import AsyncIterator

import pytest
from toy_group import Group

from shared.events import EVENTS


@pytest.fixture
async def group(bootstrap: str, database_url: str) -> AsyncIterator[Group]:
    """A group with a fresh topic of two partitions and a fresh schema."""
    group = await Group.create(bootstrap, database_url)
    yield group
    EVENTS.pop(group.event.type)
