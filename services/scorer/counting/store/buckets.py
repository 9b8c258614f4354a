"""Moves the day buckets by differences, and marks the series and hours that changed."""

from collections.abc import Iterable, Sequence

from services.scorer.counting.domain.buckets import BucketDelta
from services.scorer.counting.store.answers import Connection
from services.scorer.counting.store.packing import array_of, packed


async def add_to_buckets(db: Connection, deltas: Sequence[BucketDelta], shard: int) -> None:
    """Add these differences to the buckets' rows of this shard, in sorted order."""
    if not deltas:
        return
    await db.execute(
        """INSERT INTO scorer.buckets AS b
               SELECT series, day, $11, d, n, p, s, ld, ln, lp, ls, 1
               FROM unnest($1::text::int[], $2::text::date[], $3::text::int[], $4::text::int[],
                           $5::text::int[], $6::text::bigint[], $7::text::int[], $8::text::int[],
                           $9::text::int[], $10::text::bigint[])
                    AS x(series, day, d, n, p, s, ld, ln, lp, ls)
           ON CONFLICT (series, day, shard) DO UPDATE SET
               detractors = b.detractors + excluded.detractors, passives = b.passives + excluded.passives,
               promoters = b.promoters + excluded.promoters, points = b.points + excluded.points,
               latest_detractors = b.latest_detractors + excluded.latest_detractors,
               latest_passives = b.latest_passives + excluded.latest_passives,
               latest_promoters = b.latest_promoters + excluded.latest_promoters,
               latest_points = b.latest_points + excluded.latest_points, changes = b.changes + 1""",
        *[
            array_of(column)
            for column in zip(*[(d.series, d.day, *d.every, *d.latest) for d in deltas], strict=True)
        ],
        shard,
    )


async def mark_series(db: Connection, series: Iterable[int], shard: int) -> None:
    """Note that the scores of these series changed, so that they are computed and published again."""
    unique = sorted(series)
    if unique:
        await db.execute(
            """INSERT INTO scorer.marks AS m SELECT s, $2, 1 FROM unnest($1::text::int[]) AS s
               ON CONFLICT (series, shard) DO UPDATE SET changes = m.changes + 1""",
            array_of(unique),
            shard,
        )


Hour = tuple[str, int]


async def mark_hours(db: Connection, hours: Iterable[Hour], shard: int) -> None:
    """Note that other answers count in these hours than before, so that their counts are void."""
    unique = sorted(hours)
    if unique:
        stores, numbers, separator = packed((store, str(number)) for store, number in unique)
        await db.execute(
            """INSERT INTO scorer.hour_marks AS m (store, hour, shard, changes)
               SELECT store, to_timestamp(number::bigint * 3600), $4, 1
               FROM unnest(string_to_array($1, $3), string_to_array($2, $3)) AS k(store, number)
               ON CONFLICT (store, hour, shard) DO UPDATE SET changes = m.changes + 1,
                   touched_at = excluded.touched_at""",
            stores,
            numbers,
            separator,
            shard,
        )
