"""Who may have a person forgotten, and which event the other services get."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from shared.access import Scope
from shared.config.secrets import Secrets
from shared.feedback.identity import customer_ref, customer_refs
from tests.integration.collector.running import SECRET, STORE, Collector, Topic, make_key


@pytest.fixture(scope="module")
async def admin(database_url: str, collector: Collector) -> str:
    token = await make_key(database_url, "secret", Scope.ADMIN)
    while collector.request("POST", "/v1/erasures", {}, authorization=f"Bearer {token}").status == 401:
        pass  # the keyring reads it within 2 s
    return f"Bearer {token}"


class TestAnErasure:
    async def test_names_the_person_by_references_only(
        self, collector: Collector, admin: str, bootstrap: str
    ) -> None:
        customer = {"id": f"c-{uuid4()}", "email": f"{uuid4().hex}@Example.com"}
        reply = collector.request("POST", "/v1/erasures", {"customer": customer}, authorization=admin)
        assert reply.status == 202
        assert reply.json["status"] == "accepted"
        topic = Topic(bootstrap, "feedback.erasures.v1")
        await topic.open()
        try:
            [written] = await topic.about(reply.json["erasure_id"])
        finally:
            await topic.close()
        secret = Secrets(SECRET).customers
        by_id = customer_ref(secret, STORE, customer_id=customer["id"])
        by_email = customer_ref(secret, STORE, email=customer["email"])
        assert written.headers["ce_type"] == "customer.erased.v1"
        assert (written.body["customer_ref"], written.body["also"]) == (by_id, [by_email])
        assert set(written.body) == {"store", "customer_ref", "also", "erased_at", "erasure_id"}
        assert datetime.fromisoformat(reply.json["erased_at"]) <= datetime.now(UTC)
        assert 'closeloop_erasure_requests_total{outcome="accepted"}' in collector.metrics()

    async def test_names_the_references_of_older_releases_too(
        self, collector: Collector, admin: str, bootstrap: str
    ) -> None:
        customer = {"id": f" c-{uuid4()} ", "email": f"Jose\u0301.Stra\u00dfe@{uuid4().hex}.example"}
        reply = collector.request("POST", "/v1/erasures", {"customer": customer}, authorization=admin)
        topic = Topic(bootstrap, "feedback.erasures.v1")
        await topic.open()
        try:
            [written] = await topic.about(reply.json["erasure_id"])
        finally:
            await topic.close()
        refs = customer_refs(
            Secrets(SECRET).customers, STORE, customer_id=customer["id"], email=customer["email"]
        )
        assert len(refs) == 5  # the id with its blanks, and the e-mail as casefolded in two forms
        assert (written.body["customer_ref"], *written.body["also"]) == refs

    @pytest.mark.parametrize(
        ("body", "status", "pointer"),
        [
            ({}, 422, "/customer"),
            ({"customer": {}}, 422, "/customer"),
            ({"customer": {"id": " ", "email": None}}, 422, "/customer/id"),
            ({"customer": {"id": None, "email": None}}, 422, "/customer"),
            ({"customer": {"id": ""}}, 422, "/customer/id"),
            ({"customer": {"id": 7}}, 422, "/customer/id"),
            ({"customer": {"email": "nobody"}}, 422, "/customer/email"),
            ({"customer": {"id": "c-1", "name": "Ada"}}, 422, "/customer/name"),
            ({"customer": "c-1"}, 422, "/customer"),
            ([], 422, ""),
        ],
    )
    def test_that_names_nobody_is_refused(
        self, collector: Collector, admin: str, body: object, status: int, pointer: str
    ) -> None:
        reply = collector.request("POST", "/v1/erasures", body, authorization=admin)
        assert reply.status == status
        assert reply.json["errors"][0]["pointer"] == pointer

    def test_needs_the_scope_admin(self, collector: Collector) -> None:
        for key in (collector.secret, collector.public):
            reply = collector.request(
                "POST", "/v1/erasures", {"customer": {"id": "c"}}, authorization=f"Bearer {key}"
            )
            assert (reply.status, reply.json["type"]) == (403, "urn:closeloop:problem:forbidden")
        assert collector.request("POST", "/v1/erasures", {}, authorization="").status == 401

    def test_of_another_store_is_not_found(self, collector: Collector, admin: str) -> None:
        reply = collector.request(
            "POST", "/v1/erasures?store=elsewhere", {"customer": {"id": "c"}}, authorization=admin
        )
        assert reply.status == 404

    def test_is_documented_with_a_body_that_works(self, collector: Collector, admin: str) -> None:
        described = collector.request("GET", "/openapi.json").json["paths"]["/v1/erasures"]["post"]
        example = described["requestBody"]["content"]["application/json"]["example"]
        assert collector.request("POST", "/v1/erasures", example, authorization=admin).status == 202
