"""The ids of series, known by heart once they are committed."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[Any]"


class Series(NamedTuple):
    """What is counted together: one cut of one metric on one scale."""

    store: str
    metric: str
    scale: str
    segment: str
    touchpoint: str


class SeriesBook:
    """Series by id. New ones are made inside a transaction and remembered once it committed."""

    def __init__(self) -> None:
        self._ids: dict[Series, int] = {}
        self._uncommitted: dict[Series, int] = {}

    def begin(self) -> None:
        """A new transaction: what the last one made without committing is void."""
        self._uncommitted = {}

    def committed(self) -> None:
        """The transaction since `begin` committed."""
        self._ids.update(self._uncommitted)
        self._uncommitted = {}

    async def ids(self, db: Connection, wanted: Sequence[Series]) -> dict[Series, int]:
        """The id of each series, made where missing, in sorted order."""
        known = {s: i for s in wanted if (i := self._ids.get(s) or self._uncommitted.get(s))}
        missing = sorted(set(wanted) - known.keys())
        if missing:
            columns = [list(column) for column in zip(*missing, strict=True)]
            await db.execute(
                """INSERT INTO scorer.series (store, metric, scale, segment, touchpoint)
                   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                   ON CONFLICT DO NOTHING""",
                *columns,
            )
            made = await self.find_all(db, missing)
            self._uncommitted.update(made)
            known.update(made)
        return known

    async def find_all(self, db: Connection, wanted: Sequence[Series]) -> dict[Series, int]:
        """The ids of those that exist."""
        rows = await db.fetch(
            """SELECT s.store, s.metric, s.scale, s.segment, s.touchpoint, s.id
               FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                    AS k(store, metric, scale, segment, touchpoint)
               JOIN scorer.series s USING (store, metric, scale, segment, touchpoint)""",
            *([list(column) for column in zip(*set(wanted), strict=True)] or [[]] * 5),
        )
        return {Series(*row[:5]): row[5] for row in rows}

    async def find(self, db: Connection, series: Series) -> int | None:
        """The id of a series that may not exist yet."""
        if found := self._ids.get(series):
            return found
        stored: int | None = await db.fetchval(
            """SELECT id FROM scorer.series
               WHERE store = $1 AND metric = $2 AND scale = $3 AND segment = $4 AND touchpoint = $5""",
            *series,
        )
        if stored:
            self._ids[series] = stored
        return stored
