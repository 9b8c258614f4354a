"""The series and their ids. A series is made once and never deleted, so its id can be kept in memory."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[Any]"


class Series(NamedTuple):
    """The answers of a store that are counted together: one cut of one metric on one scale."""

    store: str
    metric: str
    scale: str
    segment: str
    touchpoint: str

    def confidential(self) -> "Series":
        """The series in which the confidential answers of this one are counted a second time.

        So every way to count a series, over any window and by any policy, tells how many of its answers are
        confidential. Its scale is none that can be asked for, so that it is shown and published nowhere.
        """
        return self._replace(scale=f"{self.scale} confidential")


class SeriesIds:
    """The ids of series, from memory where they are committed.

    A series that a transaction made itself is remembered only when a later one finds it committed, since the
    first may still be rolled back.
    """

    def __init__(self) -> None:
        self._ids: dict[Series, int] = {}

    def knows(self, several: Iterable[Series]) -> bool:
        """Whether all of these are committed and their ids in memory."""
        return all(series in self._ids for series in several)

    async def ids(self, db: Connection, several: Iterable[Series]) -> dict[Series, int]:
        """The id of each series; those that do not exist are made, in sorted order."""
        unique = set(several)
        ids = await self.find_all(db, unique)
        missing = sorted(unique - ids.keys())
        if missing:
            await db.execute(
                """INSERT INTO scorer.series (store, metric, scale, segment, touchpoint)
                   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                   ON CONFLICT DO NOTHING""",
                *[list(column) for column in zip(*missing, strict=True)],
            )
            ids |= await self.find_all(db, missing)
        return ids

    async def find_all(self, db: Connection, several: Iterable[Series]) -> dict[Series, int]:
        """The ids of those of these series that exist."""
        unique = set(several)
        ids = {series: self._ids[series] for series in unique if series in self._ids}
        unknown = unique - ids.keys()
        if not unknown:
            return ids
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
            ids[series] = row["id"]
            if not row["mine"]:
                self._ids[series] = row["id"]
        return ids

    async def confidential(self, db: Connection, several: Mapping[int, Series]) -> dict[int, int]:
        """By the id of each of these series, that of the one of its confidential answers, if there is one."""
        ids = await self.find_all(db, [series.confidential() for series in several.values()])
        return {id_: ids[part] for id_, series in several.items() if (part := series.confidential()) in ids}

    async def find(self, db: Connection, series: Series) -> int | None:
        """The id of this series, or None while it does not exist."""
        return (await self.find_all(db, [series])).get(series)


async def of_store(
    db: Connection, store: str, scales: Iterable[tuple[str, str]], dimensions: Iterable[str]
) -> list[tuple[int, Series]]:
    """The series of these (metric, scale): the whole store, and its cuts by these dimensions; oldest first.

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
