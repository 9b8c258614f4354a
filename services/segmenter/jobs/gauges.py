"""The tiers in the metrics."""

from services.segmenter.domain.ruling import Rulebook
from services.segmenter.store import customers
from shared.db import Database
from shared.ops import metrics


class TierGauges:
    """How many customers each tier has, for the metrics; see `shared.jobs.rounds`."""

    def __init__(self, database: Database, book: Rulebook) -> None:
        self._database = database
        self._book = book

    async def measure(self) -> None:
        for store, rules in self._book.items():
            async with self._database.snapshot() as session:
                members = await customers.members(session, store)
            for tier in rules.programme.tiers:
                metrics.CUSTOMERS.labels(store, tier.name).set(members.get(tier.name, 0))

    def forget(self) -> None:
        metrics.CUSTOMERS.clear()
