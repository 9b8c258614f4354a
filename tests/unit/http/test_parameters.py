"""No route ignores a query parameter: every route of every service, as its OpenAPI document lists them."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.datastructures import QueryParams

from services.collector.responses.intake import PARAMETERS, ROUTE
from shared.http import Problem
from shared.http.parameters import check_query
from tests.unit.http.built_services import SERVICES, api_of, built

HOT = ("post", ROUTE)
"""Answered in front of FastAPI, after the key was checked: see `test_submitting` of the collector."""


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, bool]]]:
    """Method, path, and the declared parameters with whether each may be repeated."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            declared = {
                parameter["name"]: parameter["schema"].get("type") == "array"
                for parameter in operation.get("parameters", ())
                if parameter["in"] == "query"
            }
            yield method, path, declared


def refused(response: httpx.Response) -> list[str]:
    assert response.status_code == 422, response.text
    return [error["pointer"] for error in response.json()["errors"]]


@pytest.mark.parametrize("service", SERVICES)
async def test_every_route_refuses_what_it_does_not_declare(service: str) -> None:
    application = built(service)
    seen = 0
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(application), base_url="http://127.0.0.1"
    ) as client:
        for method, template, declared in operations(api_of(application).openapi()):
            if (method, template) == HOT:
                assert declared == PARAMETERS
                continue
            path = re.sub(r"{\w+}", "a1", template)
            assert refused(await client.request(method, path, params={"statuss": "x"})) == ["/query/statuss"]
            for name, repeatable in declared.items():
                answer = await client.request(method, path, params={name: ["true", "true"]})
                if repeatable:
                    assert "Send it once" not in answer.text
                else:
                    assert refused(answer) == [f"/query/{name}"]
            seen += 1
    assert seen > 4


class TestCheckQuery:
    def test_names_the_nearest_parameter(self) -> None:
        with pytest.raises(Problem) as problem:
            check_query(QueryParams("stroe=other"), {"store": False, "limit": False})
        assert problem.value.errors == [
            {
                "pointer": "/query/stroe",
                "detail": "There is no such parameter. Did you mean store? This address has: limit, store.",
            }
        ]

    def test_names_all_of_them(self) -> None:
        with pytest.raises(Problem) as problem:
            check_query(QueryParams("a=1&limit=1&limit=2&b"), {"limit": False})
        assert [error["pointer"] for error in problem.value.errors] == [
            "/query/a",
            "/query/limit",
            "/query/b",
        ]

    def test_takes_what_is_declared(self) -> None:
        check_query(QueryParams("limit=1&without=a&without=b"), {"limit": False, "without": True})
