"""The ids of series, known by heart once they are committed. Series are made and never deleted."""

from collections.abc import Iterable
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
    """Series by id. One that a transaction made itself is remembered when a later one finds it committed:
    whoever makes series need not say how the transaction ended."""

    def __init__(self) -> None:
        self._ids: dict[Series, int] = {}

    def knows(self, wanted: Iterable[Series]) -> bool:
        """Whether all of these are committed and their ids known."""
        return all(series in self._ids for series in wanted)

    async def ids(self, db: Connection, wanted: Iterable[Series]) -> dict[Series, int]:
        """The id of each series, made where missing, in sorted order."""
        asked = set(wanted)
        found = await self.find_all(db, asked)
        missing = sorted(asked - found.keys())
        if missing:
            await db.execute(
                """INSERT INTO scorer.series (store, metric, scale, segment, touchpoint)
                   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                   ON CONFLICT DO NOTHING""",
                *[list(column) for column in zip(*missing, strict=True)],
            )
            found |= await self.find_all(db, missing)
        return found

    async def find_all(self, db: Connection, wanted: Iterable[Series]) -> dict[Series, int]:
        """The ids of those that exist."""
        asked = set(wanted)
        found = {series: self._ids[series] for series in asked if series in self._ids}
        unknown = asked - found.keys()
        if not unknown:
            return found
        rows = await db.fetch(
            """SELECT s.store, s.metric, s.scale, s.segment, s.touchpoint, s.id,
                      (s.xmin = pg_current_xact_id_if_assigned()::xid) IS TRUE AS mine
               FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                    AS k(store, metric, scale, segment, touchpoint)
               JOIN scorer.series s USING (store, metric, scale, segment, touchpoint)""",
            *[list(column) for column in zip(*unknown, strict=True)],
        )
        for row in rows:
            series = Series(*row[:5])
            found[series] = row["id"]
            if not row["mine"]:
                self._ids[series] = row["id"]
        return found

    async def find(self, db: Connection, series: Series) -> int | None:
        """The id of a series that may not exist yet."""
        return (await self.find_all(db, [series])).get(series)


async def of_store(
    db: Connection, store: str, scales: Iterable[tuple[str, str]], dimensions: Iterable[str]
) -> list[tuple[int, Series]]:
    """The whole store and its cuts by these dimensions, for (metric, scale); the oldest first.

    Cuts by several dimensions may be among them.
    """
    rows = await db.fetch(
        """SELECT id, s.store, metric, scale, segment, touchpoint
           FROM scorer.series s JOIN unnest($2::text[], $3::text[]) AS w(metric, scale) USING (metric, scale)
           WHERE s.store = $1 AND (segment = '' OR split_part(segment, ':', 1) = ANY($4)) ORDER BY id""",
        store,
        *[list(column) for column in zip(*scales, strict=True)],
        list(dimensions),
    )
    return [(row["id"], Series(*row[1:])) for row in rows]
