"""Every answer of every route of all services: its headers, and for which host there is one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared.http.gatekeeper import PROBES
from shared.http.headers import CSP
from tests.unit.http.built_services import SERVICES, built, routes_of

PUBLIC = "https://feedback.shop.example"


@asynccontextmanager
async def client(
    application: Any, base_url: str = "http://127.0.0.1:8000"
) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as opened:
        yield opened


def is_guarded(headers: Mapping[str, str]) -> None:
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    if headers.get("content-type", "").startswith("text/html") or "location" in headers:
        assert headers["content-security-policy"] == CSP
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"


@pytest.mark.parametrize("service", SERVICES)
async def test_every_answer_is_kept_out_of_caches_and_every_page_is_guarded(service: str) -> None:
    application = built(service)
    pages = 0
    async with client(application) as visitor:
        for method, path in [*routes_of(application), ("GET", "/nothing"), ("PUT", "/livez")]:
            for accept in ("text/html", "application/json"):
                answer = await visitor.request(method, path, headers={"accept": accept})
                is_guarded(answer.headers)
                pages += answer.headers.get("content-type", "").startswith("text/html")
    assert pages >= (12 if service == "notifier" else 1)


@pytest.mark.parametrize("service", SERVICES)
class TestTheHost:
    async def test_that_is_not_ours_gets_no_answer_but_of_probes(self, service: str) -> None:
        application = built(service, notifier_public_url=PUBLIC, closeloop_hosts="collector.closeloop.svc")
        async with client(application, "http://evil.example") as stranger:
            for method, path in routes_of(application):
                answer = await stranger.request(method, path)
                assert (answer.status_code == 421) == (path not in PROBES), path
                is_guarded(answer.headers)
                assert "evil" not in f"{answer.text} {answer.headers.get('location')}"

    @pytest.mark.parametrize(
        "host", ["feedback.shop.example", "Feedback.Shop.Example:443", "collector.closeloop.svc:80"]
    )
    async def test_that_is_ours_is_known_by_its_name(self, service: str, host: str) -> None:
        application = built(service, notifier_public_url=PUBLIC, closeloop_hosts="collector.closeloop.svc")
        async with client(application) as visitor:
            for method, path in (("GET", "/openapi.json"), ("POST", "/v1/responses")):
                answer = await visitor.request(method, path, headers={"host": host})
                assert answer.status_code != 421

    @pytest.mark.parametrize("host", ["127.0.0.1:8001", "localhost", "[::1]:8001"])
    async def test_may_be_this_machine_where_nobody_else_can_connect(self, service: str, host: str) -> None:
        for listens_at, known in (("127.0.0.1", True), ("0.0.0.0", False)):
            application = built(service, listens_at=listens_at, notifier_public_url=PUBLIC)
            async with client(application) as visitor:
                for method, path in (("GET", "/nothing"), ("POST", "/v1/responses")):
                    answer = await visitor.request(method, path, headers={"host": host})
                    assert (answer.status_code != 421) == known

    @pytest.mark.parametrize("url", ["", "http://127.0.0.1:8004", "http://localhost:8004"])
    async def test_may_be_any_while_no_address_is_public(self, service: str, url: str) -> None:
        application = built(service, notifier_public_url=url)
        async with client(application, "http://192.168.1.7:8004") as visitor:
            assert (await visitor.get("/nothing")).status_code == 404

    async def test_is_not_repeated_by_a_redirect(self, service: str) -> None:
        application = built(service)
        async with client(application, "http://evil.example") as stranger:
            for method, path in routes_of(application):
                for asked in (path, f"{path}/"):
                    answer = await stranger.request(method, asked, headers={"accept": "text/html"})
                    assert answer.headers.get("location", "/").startswith("/")


async def test_two_hosts_are_none() -> None:
    application = built("scorer", notifier_public_url=PUBLIC)
    async with client(application, PUBLIC) as visitor:
        twice = [("host", "feedback.shop.example"), ("host", "evil.example")]
        assert (await visitor.get("/docs/scorer", headers=twice)).status_code == 421


@pytest.mark.parametrize("service", SERVICES)
async def test_a_refused_host_is_counted_and_logged_once_a_minute(service: str) -> None:
    application = built(service, notifier_public_url=PUBLIC)
    labels = {"method": "GET", "route": "unmatched", "status": "421"}
    before = REGISTRY.get_sample_value("closeloop_http_requests_total", labels) or 0
    with capture_logs() as lines:
        async with client(application, "http://evil.example") as stranger:
            for _ in range(3):
                answer = await stranger.get("/v1/nothing")
    assert "CLOSELOOP_HOSTS" in answer.json()["detail"]
    assert REGISTRY.get_sample_value("closeloop_http_requests_total", labels) == before + 3
    [line] = [line for line in lines if line["event"] == "host.refused"]
    assert line["log_level"] == "warning"
    assert line["host"] == "evil.example"
    assert "CLOSELOOP_HOSTS" in line["detail"]


@pytest.mark.parametrize("host", ["a\x1b[31m.example", "Ada Lovelace", "a" * 101, ""])
async def test_a_refused_host_that_is_no_name_is_not_logged(host: str) -> None:
    application = built("scorer", notifier_public_url=PUBLIC)
    with capture_logs() as lines:
        async with client(application, PUBLIC) as visitor:
            assert (await visitor.get("/nothing", headers={"host": host})).status_code == 421
    assert [line["host"] for line in lines] == ["none that can be shown"]


async def test_the_page_for_a_refused_host_leads_to_nothing_of_that_host() -> None:
    application = built("notifier", notifier_public_url=PUBLIC)
    async with client(application, "http://evil.example") as stranger:
        answer = await stranger.get("/inbox", headers={"accept": "text/html"})
    assert answer.status_code == 421
    assert "This is not the address of this product" in answer.text
    assert "/login" not in answer.text
