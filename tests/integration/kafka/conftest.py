import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.events import EVENTS
from tests.integration.kafka.toy_group import Group, eventually


@pytest.fixture
async def group(request: pytest.FixtureRequest, bootstrap: str, database_url: str) -> AsyncIterator[Group]:
    """A group with a fresh topic (of two partitions, unless told) and schema; no task may be left behind."""
    before = asyncio.all_tasks()
    group = await Group.create(bootstrap, database_url, partitions=getattr(request, "param", 2))
    yield group
    EVENTS.pop(group.event.type)
    await eventually(lambda: not left_behind(before), within_seconds=20)


def left_behind(before: set["asyncio.Task[object]"]) -> list[str]:
    return [str(t.get_coro()) for t in asyncio.all_tasks() - before - {asyncio.current_task()}]
