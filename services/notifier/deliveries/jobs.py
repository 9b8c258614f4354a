"""Giving up deliveries whose channel is gone."""

from collections.abc import Iterable

from services.notifier.deliveries import store
from services.notifier.deliveries.store import Target
from shared.db import Database
from shared.ops.logs import log

_log = log("notifier")

_AFTER_SECONDS = 600


async def give_up_stranded(database: Database, targets: Iterable[Target]) -> None:
    """Declare dead what waits for a channel that is off or gone. `targets`: the channels that are on."""
    async with database.transaction() as session:
        stranded = await store.strand(session, targets, after_seconds=_AFTER_SECONDS)
    if stranded:
        _log.warning("deliveries.stranded", count=stranded)
