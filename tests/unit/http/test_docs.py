"""The document of every application."""

from unittest import mock

import httpx
import pytest
from fastapi.responses import JSONResponse

from tests.unit.http.built_services import SERVICES, api_of, built


@pytest.mark.parametrize("service", SERVICES)
async def test_it_is_rendered_once(service: str) -> None:
    application = built(service)
    api = api_of(application)
    path = "/openapi.json" if service == "collector" else f"/openapi/{service}.json"
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        with mock.patch.object(api, "openapi", wraps=api.openapi) as rendered:
            answers = [await client.get(path) for _ in range(3)]
    assert rendered.call_count == 1
    for answer in answers:
        assert answer.content == JSONResponse(api.openapi()).body
        assert answer.headers["content-type"] == "application/json"
