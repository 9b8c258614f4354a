"""The drill of a lag: a consumer stands still while answers come; its lag rises and is gone afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.shop import Shop
from tests.observability.server import Prometheus

GROUP = 'group="closeloop-scorer"'
RECORDS = f"group:closeloop_kafka_consumer_lag_records:sum{{{GROUP}}}"
SECONDS = f"group:closeloop_kafka_consumer_time_lag_seconds:max{{{GROUP}}}"
"""As the alerts and the dashboards have them."""

BEHIND_RECORDS, BEHIND_SECONDS = 12, 6


@asynccontextmanager
async def locked(product: Product, table: str) -> AsyncIterator[None]:
    """Nobody else can write this table meanwhile; by hand: `BEGIN; LOCK TABLE …;` in psql."""
    connection = await asyncpg.connect(product.demo["database_url"])
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table}")
            yield
    finally:
        await connection.close()


async def test_a_consumer_that_stands_still_falls_behind_and_catches_up(
    product: Product, prometheus: Prometheus, traffic: Shop
) -> None:
    async def above(expression: str, bound: float) -> bool:
        return bool(await prometheus.query(f"{expression} > {bound}"))

    async def caught_up() -> bool:
        shown = [await prometheus.query(expression) for expression in (RECORDS, SECONDS)]
        return [float(one["value"][1]) for found in shown for one in found] == [0, 0]

    await eventually(caught_up)

    async with locked(product, "scorer.answers"):
        await eventually(lambda: above(RECORDS, BEHIND_RECORDS), within_seconds=40)
        await eventually(lambda: above(SECONDS, BEHIND_SECONDS), within_seconds=40)
        # Only the group that stands still: no service waits for another.
        assert not await above(RECORDS.replace("group=", "group!="), BEHIND_RECORDS)
        assert await product.is_ready("collector")

    await eventually(caught_up, within_seconds=60)
