import asyncio

import httpx
import pytest
from fastapi import FastAPI

from shared.http.app import operations_routes
from shared.http.problems import HANDLERS
from shared.ops.health import PARTS, Health, NotReady
from tests.unit.http.built_services import SERVICES, built


async def fine() -> None: ...


async def away() -> None:
    raise NotReady("no broker answers")


async def probe(health: Health, path: str) -> int:
    app = FastAPI(exception_handlers=HANDLERS)
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

    async def test_a_name_that_is_no_part_is_refused_with_the_list(self) -> None:
        app = FastAPI(exception_handlers=HANDLERS)
        app.include_router(operations_routes(Health({"kafka": fine})))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            answer = await client.get("/readyz?without=kafka&without=kafak")
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error == {"pointer": "/query/without", "detail": f"is one of {', '.join(PARTS)}"}

    async def test_a_part_that_only_other_processes_have_may_be_named(self) -> None:
        assert await probe(Health({"boot": fine}), "/readyz?without=logs&without=consumer") == 200

    @pytest.mark.parametrize("service", SERVICES)
    async def test_every_part_of_every_service_is_in_the_list(self, service: str) -> None:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(built(service)), base_url="http://127.0.0.1:8000"
        ) as client:
            assert (await client.get("/readyz")).json()["parts"].keys() <= set(PARTS)
