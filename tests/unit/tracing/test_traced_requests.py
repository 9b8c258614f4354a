"""A request's span is named by its route, and what is inside passes it on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, Request
from opentelemetry.trace import SpanKind
from recording import Recorded

from shared.ops.health import Health
from shared.ops.settings import ListenSettings
from shared.web import standard_app

TRACE = "0af7651916cd43dd8448eb211c80319c"
CAME_IN = f"00-{TRACE}-b7ad6b7169203331-01"
CANARY = "jane@canary.example"


@asynccontextmanager
async def nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def app(recorded: Recorded) -> FastAPI:
    app = standard_app("toy", "", lifespan=nothing, listen=ListenSettings(), health=Health({}))

    @app.get("/v1/customers/{customer_id}")
    async def customer(request: Request, customer_id: str) -> str:
        if customer_id == "broken":
            raise KeyError(CANARY)
        found: str = request.scope["closeloop.traceparent"]
        return found

    return app


async def asked(app: FastAPI, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
        return await client.request(method, path, headers=headers)


class TestARequest:
    async def test_goes_on_with_the_callers_trace(self, app: FastAPI, recorded: Recorded) -> None:
        said = await asked(app, "/v1/customers/7", traceparent=CAME_IN)
        (span,) = recorded.spans()
        assert (span.name, span.kind) == ("GET /v1/customers/{customer_id}", SpanKind.SERVER)
        assert f"{span.parent.span_id:016x}" == CAME_IN[36:52]
        assert said.json() == said.headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"

    async def test_begins_a_trace(self, app: FastAPI, recorded: Recorded) -> None:
        said = await asked(app, "/v1/customers/7")
        (span,) = recorded.spans()
        assert span.parent is None
        assert said.headers["traceparent"].split("-")[1] == f"{span.context.trace_id:032x}"

    async def test_says_nothing_of_whom_it_was_about(self, app: FastAPI, recorded: Recorded) -> None:
        await asked(app, f"/v1/customers/{CANARY}?q={CANARY}", **{"user-agent": CANARY, "baggage": CANARY})
        await asked(app, f"/nowhere/{CANARY}", CANARY.upper())
        assert [dict(span.attributes) for span in recorded.spans()] == [
            {
                "http.request.method": "GET",
                "http.route": "/v1/customers/{customer_id}",
                "http.response.status_code": 200,
            },
            {"http.request.method": "_OTHER", "http.response.status_code": 404},
        ]
        assert "canary" not in "".join(span.to_json().casefold() for span in recorded.spans())

    async def test_that_crashes_fails_without_the_exceptions_text(
        self, app: FastAPI, recorded: Recorded
    ) -> None:
        assert (await asked(app, "/v1/customers/broken")).status_code == 500
        (span,) = recorded.spans()
        assert span.attributes["error.type"] == "500"
        assert not span.status.is_ok
        assert "canary" not in span.to_json()

    async def test_of_a_probe_is_no_work_worth_a_span(self, app: FastAPI, recorded: Recorded) -> None:
        await asked(app, "/livez")
        await asked(app, "/metrics")
        assert recorded.spans() == []
