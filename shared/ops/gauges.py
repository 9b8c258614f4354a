"""Gauges about the whole installation: measured by one replica, and absent from the metrics of all others."""

from typing import Protocol

from shared.db import Database
from shared.ops.leased import Leased


class Measured(Protocol):
    """What is measured."""

    async def measure(self) -> None:
        """Set the gauges, all of them without a pause between."""

    def forget(self) -> None:
        """Take them away: another replica shows them, or nobody knows them now."""


class LeasedGauges(Leased):
    """While the database is away there are no values rather than old ones."""

    def __init__(self, database: Database, schema: str, what: Measured, *, every_seconds: float = 15) -> None:
        super().__init__(database, schema, "gauges", every_seconds=every_seconds)
        self._what = what

    async def work(self) -> None:
        await self._what.measure()

    def idle(self) -> None:
        self._what.forget()
