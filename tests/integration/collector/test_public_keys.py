"""What a page may do with a public key, and from which origins."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest

from shared.access import Scope
from tests.integration.collector.running import (
    ORIGIN,
    OTHER_ORIGIN,
    OTHER_STORE,
    Collector,
    Topic,
    make_key,
    revoke_key,
)


def key_id(token: str) -> str:
    return token.split("_")[1]


class TestAPublicKey:
    async def test_submits_under_a_name_space_of_its_own(
        self, collector: Collector, responses: Topic
    ) -> None:
        sent = str(uuid4())
        response_id = collector.from_page({"score": 9, "response_id": sent}).json["response_id"]
        assert response_id == f"{key_id(collector.public)}:{sent}"
        [written] = await responses.about(response_id)
        assert written.body["key_id"] == key_id(collector.public)

    async def test_may_retry_with_either_id(self, collector: Collector, responses: Topic) -> None:
        sent = str(uuid4())
        response_id = collector.from_page({"score": 9, "response_id": sent}).json["response_id"]
        assert (
            collector.from_page({"score": 9, "response_id": response_id}).json["response_id"] == response_id
        )
        assert collector.from_page({"score": 9}, idempotency_key=sent).json["response_id"] == response_id
        assert len(await responses.about(response_id, count=3)) == 3

    def test_amends_by_token_under_either_id(self, collector: Collector) -> None:
        sent = str(uuid4())
        accepted = collector.from_page({"score": 9, "response_id": sent}).json
        for response_id in (sent, accepted["response_id"]):
            path, body = (
                f"/v1/responses/{response_id}",
                {"comment": "x", "amend_token": accepted["amend_token"]},
            )
            reply = collector.request(
                "PATCH", path, body, authorization=f"Bearer {collector.public}", origin=ORIGIN
            )
            assert (reply.status, reply.json["response_id"]) == (202, accepted["response_id"])
            assert reply.headers["access-control-allow-origin"] == ORIGIN

    def test_amends_nothing_without_a_token(self, collector: Collector) -> None:
        bearer = f"Bearer {collector.public}"
        reply = collector.request(
            "PATCH", "/v1/responses/x", {"score": 1}, authorization=bearer, origin=ORIGIN
        )
        assert reply.status == 403

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("DELETE", "/v1/responses/x", None),
            ("POST", "/v1/orders", {"type": "delivered", "id": "o", "delivered_at": "2026-01-01T00:00:00Z"}),
            ("POST", "/v1/engagements", {}),
            ("POST", "/v1/customer-tokens", {"id": "c"}),
        ],
    )
    def test_may_do_nothing_else(self, collector: Collector, method: str, path: str, body: Any) -> None:
        bearer = f"Bearer {collector.public}"
        reply = collector.request(method, path, body, authorization=bearer, origin=ORIGIN)
        assert reply.status == 403
        assert "needs a secret key (sec_...) with the scope responses:write" in reply.json["detail"]

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"answered_at": "2026-01-01T00:00:00Z"}, "/answered_at"),
            ({"order": {"id": "o-1"}}, "/order"),
            ({"segments": {"vip": "yes"}}, "/segments/vip"),
        ],
    )
    def test_may_not_say_everything(self, collector: Collector, body: dict[str, Any], pointer: str) -> None:
        reply = collector.from_page({"score": 9, **body})
        assert reply.status == 422
        assert [error["pointer"] for error in reply.json["errors"]] == [pointer]

    def test_learns_what_segments_are_declared(self, collector: Collector) -> None:
        [error] = collector.from_page({"score": 9, "segments": {"vip": "yes"}}).json["errors"]
        [warned] = collector.post({"score": 9, "segments": {"vip": "yes"}}).json["warnings"]
        assert error["detail"].startswith("is not a declared segment of this store; declared: country")
        assert error["detail"].rpartition("; ")[2] == warned["detail"].rpartition("; ")[2]

    def test_may_say_a_declared_segment(self, collector: Collector) -> None:
        assert collector.from_page({"score": 9, "segments": {"country": "NL"}}).status == 202


class TestACustomerOfAPage:
    async def test_is_only_claimed(self, collector: Collector, responses: Topic) -> None:
        response_id = collector.from_page({"score": 1, "customer": {"id": "c-1"}}).json["response_id"]
        [written] = await responses.about(response_id)
        assert written.body["verified"] is False
        assert written.body["customer"]["id"] == "c-1"

    async def test_is_verified_by_a_token_of_the_stores_server(
        self, collector: Collector, responses: Topic
    ) -> None:
        customer_of_token = {"id": "c-1", "email": "ada@example.com"}
        reply = collector.request("POST", "/v1/customer-tokens", customer_of_token)
        assert reply.status == 201
        token = reply.json["token"]
        for customer in (
            {"token": token},
            {**customer_of_token, "token": token},
            {"id": "c-1", "token": token},
        ):
            response_id = collector.from_page({"score": 1, "customer": customer}).json["response_id"]
            [written] = await responses.about(response_id)
            assert written.body["verified"] is True
            assert written.body["customer"].items() >= customer_of_token.items()
            assert "token" not in written.body["customer"]

    async def test_of_a_token_for_somebody_else_is_only_claimed(
        self, collector: Collector, responses: Topic
    ) -> None:
        token = collector.request("POST", "/v1/customer-tokens", {"id": "c-1"}).json["token"]
        for customer in ({"id": "c-2", "token": token}, {"id": "c-1", "token": token[:-3] + "AAA"}):
            response_id = collector.from_page({"score": 1, "customer": customer}).json["response_id"]
            [written] = await responses.about(response_id)
            assert written.body["verified"] is False
            assert written.body["customer"]["id"] == customer["id"]

    async def test_of_a_bad_token_and_no_name_is_nobody(self, collector: Collector, responses: Topic) -> None:
        """No answer is lost for a token that ran out, nor for one that came with the wrong key."""
        body = {"score": 1, "customer": {"token": "cst_x"}}
        for reply in (collector.from_page(body), collector.request("POST", "/v1/responses", body)):
            [written] = await responses.about(reply.json["response_id"])
            assert written.body["identity"] == "anonymous"
            assert written.body.get("customer") is None


class TestTheOrigin:
    @pytest.mark.parametrize(
        "origin",
        [
            "",
            "null",
            OTHER_ORIGIN,
            "http://shop.example",
            f"{ORIGIN}:443",
            f"{ORIGIN}.evil.example",
            ORIGIN.upper(),
            "https://evil-shop.example",
            f"{ORIGIN}/",
        ],
    )
    def test_that_is_not_the_stores_is_forbidden(self, collector: Collector, origin: str) -> None:
        reply = collector.from_page({"score": 9}, origin=origin)
        assert reply.status == 403
        assert "access-control-allow-origin" not in reply.headers

    def test_that_is_the_stores_may_read_the_answer(self, collector: Collector) -> None:
        reply = collector.from_page({"score": 9})
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        assert reply.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in reply.headers

    def test_that_is_the_stores_may_read_a_refusal(self, collector: Collector) -> None:
        reply = collector.from_page({"score": 11})
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (422, ORIGIN)

    def test_is_asked_about_before_any_key_is_known(self, collector: Collector) -> None:
        for path, method in {"/v1/responses": "POST", "/v1/responses/r-1": "PATCH"}.items():
            for origin in (ORIGIN, OTHER_ORIGIN):
                reply = collector.request(
                    "OPTIONS", path, authorization="", origin=origin, access_control_request_method=method
                )
                assert reply.status == 204
                assert reply.headers["access-control-allow-origin"] == origin
                assert reply.headers["access-control-allow-methods"] == method
                assert "authorization" in reply.headers["access-control-allow-headers"]
                assert int(reply.headers["access-control-max-age"]) > 0
                assert reply.headers["vary"] == "Origin"

    def test_of_a_stranger_gets_no_permission(self, collector: Collector) -> None:
        reply = collector.request("OPTIONS", "/v1/responses", origin="https://evil.example")
        assert reply.status == 403
        assert "access-control-allow-origin" not in reply.headers


class TestASecretKey:
    async def test_needs_the_scope_to_write(self, collector: Collector, database_url: str) -> None:
        reader = f"Bearer {await make_key(database_url, 'secret', Scope.SCORES_READ)}"
        assert collector.post({"score": 9}, authorization=reader).status == 403
        assert collector.request("PATCH", "/v1/responses/x", {"score": 9}, authorization=reader).status == 403
        assert collector.request("DELETE", "/v1/responses/x", authorization=reader).status == 403

    async def test_of_an_administrator_may_write(self, collector: Collector, database_url: str) -> None:
        admin = f"Bearer {await make_key(database_url, 'secret', Scope.ADMIN)}"
        assert collector.post({"score": 9}, authorization=admin).status == 202

    async def test_writes_to_its_own_store(
        self, collector: Collector, database_url: str, responses: Topic
    ) -> None:
        other = await make_key(database_url, "secret", Scope.RESPONSES_WRITE, store=OTHER_STORE)
        response_id = collector.post({"score": 9}, authorization=f"Bearer {other}").json["response_id"]
        [written] = await responses.about(response_id)
        assert written.body["store"] == OTHER_STORE

    async def test_of_a_store_that_is_not_configured_is_404(
        self, collector: Collector, database_url: str
    ) -> None:
        stray = await make_key(database_url, "secret", Scope.RESPONSES_WRITE, store="gone")
        assert collector.post({"score": 9}, authorization=f"Bearer {stray}").status == 404

    async def test_stops_within_5_seconds_of_being_revoked(
        self, collector: Collector, database_url: str
    ) -> None:
        token = await make_key(database_url, "secret", Scope.RESPONSES_WRITE)
        connection = collector.connect()
        headers = {"authorization": f"Bearer {token}", "content_type": "application/json"}

        def status() -> int:
            return connection.send("POST", "/v1/responses", b'{"score": 9}', **headers).status

        assert status() == 202
        await revoke_key(database_url, token)
        started = time.monotonic()
        while status() == 202:
            assert time.monotonic() - started < 5
            await asyncio.sleep(0.05)
        assert status() == 401
        connection.close()
