"""One member of a toy group in a process of its own, to be killed and paused: bootstrap url topic schema."""

import asyncio
import sys

from shared.ops import logs
from tests.integration.kafka.toy_group import Group


async def main() -> None:
    logs.configure("member", "ERROR")
    bootstrap, url, topic, schema = sys.argv[1:]
    group = Group(bootstrap, url, topic, schema)
    async with group.member(batch_records=50):
        await asyncio.Event().wait()


asyncio.run(main())
