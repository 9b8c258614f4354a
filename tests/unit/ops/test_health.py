import asyncio

import httpx
from fastapi import FastAPI

from shared.http.app import operations_routes
from shared.ops.health import Health, NotReady


async def fine() -> None: ...


async def away() -> None:
    raise NotReady("no broker answers")


async def probe(health: Health, path: str) -> int:
    app = FastAPI()
    app.include_router(operations_routes(health))
    watching = asyncio.create_task(health.watch())
    await asyncio.sleep(0)  # the checks run to their ends: none of them waits
    await asyncio.sleep(0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        answer = await client.get(path)
    watching.cancel()
    return answer.status_code


class TestReadiness:
    async def test_a_part_that_is_away_is_not_ready(self) -> None:
        assert await probe(Health({"boot": fine, "kafka": away}), "/readyz") == 503

    async def test_who_asks_may_do_without_it(self) -> None:
        assert await probe(Health({"boot": fine, "kafka": away}), "/readyz?without=kafka") == 200

    async def test_but_not_without_all_the_others(self) -> None:
        health = Health({"boot": away, "kafka": away})

        assert await probe(health, "/readyz?without=kafka&without=postgres") == 503

    async def test_nor_while_it_stops(self) -> None:
        health = Health({"boot": fine})
        health.stopping()

        assert await probe(health, "/readyz?without=kafka") == 503
