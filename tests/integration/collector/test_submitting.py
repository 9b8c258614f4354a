"""What a good answer becomes: a 202, and one event with everything in it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from tests.integration.collector.running import STORE, Collector, Topic

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FULL = {
    "metric": "csat",
    "scale": "1-7",
    "score": 6,
    "comment": "Größe 38 passt, 👍 <b>=1+1</b>\r\n",
    "complete": False,
    "answers": [
        {"question": "reason", "value": "speed"},
        {"question": "again", "value": True},
        {"question": "minutes", "value": 7.5},
        {"question": "liked", "value": ["shoes", "box"]},
    ],
    "touchpoint": "post_delivery",
    "channel": "in_app",
    "answered_at": "2026-01-02T10:00:00+01:00",
    "locale": "nl-NL",
    "test": True,
    "identity": "confidential",
    "customer": {"id": "c-1", "email": "Ada@Example.com", "name": "Ada", "consent": True},
    "order": {"id": "o-1", "value": 59.90, "currency": "EUR"},
    "segments": {"country": "NL", "nobody_declared_this": "x"},
}


UNTIDY = {
    "score": 9,
    "comment": "I waited three weeks \ud83d",
    "customer": {"id": " c-1\u00a0", "email": "Jose\u0301@Straße.example ", "name": "\ude00"},
    "segments": {"country": " NL ", "grid": "A\ud83d", "id": "\ud83d", "email": "\ud83d"},
}

OPTIONAL = [name for name in FULL if name != "score"]


def new_id() -> str:
    return f"r-{uuid4()}"


class TestAFullAnswer:
    async def test_arrives_as_it_was_sent(self, collector: Collector, responses: Topic) -> None:
        response_id = new_id()
        assert collector.post({**FULL, "response_id": response_id}).status == 202
        [written] = await responses.about(response_id)
        body = written.body
        for name in ("metric", "scale", "score", "comment", "complete", "answers", "touchpoint", "channel"):
            assert body[name] == FULL[name]
        for name in ("locale", "test", "identity", "segments"):
            assert body[name] == FULL[name]
        assert body["store"] == STORE
        assert body["verified"] is True
        assert datetime.fromisoformat(body["answered_at"]) == datetime(2026, 1, 2, 9, tzinfo=UTC)
        assert body["order"] == {"id": "o-1", "value": "59.9", "currency": "EUR"}
        expected = {**FULL["customer"], "email": "ada@example.com", "ref": body["customer"]["ref"]}
        assert body["customer"] == expected
        assert body["key_id"] == collector.secret.split("_")[1]

    async def test_is_tidied_and_not_refused(self, collector: Collector, responses: Topic) -> None:
        """Blanks around what names somebody, an address in another form, and half of an emoji."""
        response_id = new_id()
        assert (
            collector.post({**UNTIDY, "response_id": f" {response_id} "}).json["response_id"] == response_id
        )
        tidy = {"id": "c-1", "email": "josé@straße.example"}
        assert collector.post({"score": 9, "response_id": new_id(), "customer": tidy}).status == 202
        [written] = await responses.about(response_id)
        customer = written.body["customer"]
        assert (customer["id"], customer["email"], customer["name"]) == (
            "c-1",
            "josé@straße.example",
            "\ufffd",
        )
        assert written.body["comment"] == "I waited three weeks \ufffd"
        halves = {"grid": "A\ufffd", "id": "\ufffd", "email": "\ufffd"}
        assert written.body["segments"] == {"country": "NL"} | halves

    def test_is_told_what_its_store_has_not_declared(self, collector: Collector) -> None:
        reply = collector.post(
            {"score": 9, "segments": {"contry": "NL", "country": "NLD"}, "touchpoint": "nowhere"}
        )
        assert reply.status == 202
        warned = {warning["pointer"]: warning["detail"] for warning in reply.json["warnings"]}
        assert set(warned) == {"/segments/contry", "/segments/country", "/touchpoint"}
        assert "country" in warned["/segments/contry"]
        assert "NL" in warned["/segments/country"]
        assert "warnings" not in collector.post({"score": 9, "segments": {"country": "NL"}}).json

    async def test_has_cloudevents_headers_and_the_requests_trace(
        self, collector: Collector, responses: Topic
    ) -> None:
        response_id = new_id()
        reply = collector.post({"score": 9, "response_id": response_id}, traceparent=TRACE)
        assert reply.headers["traceparent"] == TRACE
        [written] = await responses.about(response_id)
        assert written.headers["traceparent"] == TRACE
        assert written.headers["ce_specversion"] == "1.0"
        assert written.headers["ce_type"] == "response.submitted.v1"
        assert written.headers["ce_source"] == "/collector"
        assert written.headers["content-type"] == "application/json"
        assert UUID(written.headers["ce_id"]).version == 7
        assert abs(datetime.fromisoformat(written.headers["ce_time"]) - datetime.now(UTC)) < timedelta(
            minutes=5
        )
        assert written.key == f"{len(STORE)}:{STORE}{len(response_id)}:{response_id}".encode()

    async def test_starts_a_trace_when_the_caller_has_none_or_a_broken_one(
        self, collector: Collector, responses: Topic
    ) -> None:
        response_id = new_id()
        broken = TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)
        reply = collector.post({"score": 9, "response_id": response_id}, traceparent=broken)
        [written] = await responses.about(response_id)
        assert written.headers["traceparent"] == reply.headers["traceparent"] != broken

    async def test_of_a_large_body_is_taken(self, collector: Collector, responses: Topic) -> None:
        response_id = new_id()
        answers = [{"question": f"q{n}", "value": "x" * 8_000} for n in range(30)]
        assert collector.post({"score": 9, "response_id": response_id, "answers": answers}).status == 202
        [written] = await responses.about(response_id)
        assert len(written.body["answers"]) == 30


class TestTheLeastAnswer:
    async def test_gets_its_defaults(self, collector: Collector, responses: Topic) -> None:
        before = datetime.now(UTC)
        reply = collector.post({"score": 10})
        assert reply.status == 202
        assert set(reply.json) == {"response_id", "status", "amend_token"}
        assert reply.json["status"] == "accepted"
        assert UUID(reply.json["response_id"]).version == 7
        [written] = await responses.about(reply.json["response_id"])
        body = written.body
        assert (body["metric"], body["scale"], body["identity"]) == ("nps", "0-10", "anonymous")
        assert (body["complete"], body["test"], body["channel"]) == (True, False, "api")
        assert before <= datetime.fromisoformat(body["answered_at"]) <= datetime.now(UTC)
        assert body["answered_at"] == body["received_at"]
        assert "customer" not in body

    async def test_null_is_the_same_as_nothing(self, collector: Collector, responses: Topic) -> None:
        nothing = dict.fromkeys(OPTIONAL)
        empty, full = collector.post({"score": 3}), collector.post({"score": 3, **nothing})
        [left_out] = await responses.about(empty.json["response_id"])
        [null] = await responses.about(full.json["response_id"])
        assert left_out.body["fingerprint"] == null.body["fingerprint"]
        assert set(left_out.body) >= set(null.body)


class TestTheRespondent:
    async def test_is_identified_once_named(self, collector: Collector, responses: Topic) -> None:
        response_id = new_id()
        collector.post(
            {"score": 9, "response_id": response_id, "customer": {"email": " Ada@Example.com".strip()}}
        )
        [written] = await responses.about(response_id)
        assert written.body["identity"] == "identified"
        assert len(written.body["customer"]["ref"]) == 32

    async def test_who_stays_anonymous_is_not_written_down(
        self, collector: Collector, responses: Topic
    ) -> None:
        response_id = new_id()
        collector.post(
            {"score": 9, "response_id": response_id, "identity": "anonymous", "customer": {"id": "c-secret"}}
        )
        [written] = await responses.about(response_id)
        assert written.body["identity"] == "anonymous"
        assert "customer" not in written.body
        assert await responses.holds_nothing_about("c-secret")


class TestAnId:
    async def test_may_come_as_idempotency_key(self, collector: Collector, responses: Topic) -> None:
        response_id = new_id()
        reply = collector.post({"score": 9}, idempotency_key=response_id)
        assert reply.json["response_id"] == response_id
        assert await responses.about(response_id)

    def test_may_come_both_ways_when_they_agree(self, collector: Collector) -> None:
        assert collector.post({"score": 9, "response_id": "same"}, idempotency_key="same").status == 202

    async def test_again_with_the_same_content_has_the_same_fingerprint(
        self, collector: Collector, responses: Topic
    ) -> None:
        response_id = new_id()
        body = {**FULL, "response_id": response_id}
        collector.post(body)
        collector.post(dict(reversed(body.items())))
        collector.post({**body, "score": 1})
        first, retry, rival = await responses.about(response_id, count=3)
        assert first.body["fingerprint"] == retry.body["fingerprint"] != rival.body["fingerprint"]
        assert first.partition == retry.partition == rival.partition

    async def test_again_without_a_time_has_the_same_fingerprint(
        self, collector: Collector, responses: Topic
    ) -> None:
        response_id = new_id()
        for _ in range(2):
            collector.post({"score": 4, "response_id": response_id})
        first, second = await responses.about(response_id, count=2)
        assert first.body["fingerprint"] == second.body["fingerprint"]


class TestAClockThatRunsAhead:
    async def test_by_a_little_is_taken_for_now(self, collector: Collector, responses: Topic) -> None:
        response_id = new_id()
        ahead = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
        collector.post({"score": 9, "response_id": response_id, "answered_at": ahead})
        [written] = await responses.about(response_id)
        assert written.body["answered_at"] == written.body["received_at"]


class TestTheDocumentation:
    def test_names_every_address_and_its_examples(self, collector: Collector) -> None:
        document = collector.request("GET", "/openapi.json").json
        for path, method in {
            "/v1/responses": "post",
            "/v1/responses/{response_id}": "patch",
            "/v1/orders": "post",
            "/v1/engagements": "post",
            "/v1/customer-tokens": "post",
        }.items():
            operation = document["paths"][path][method]
            assert operation["requestBody"]["content"]["application/json"]["example"]
            assert {"401", "422", "429", "503"} <= set(operation["responses"])

    def test_has_an_example_that_works(self, collector: Collector) -> None:
        document = collector.request("GET", "/openapi.json").json
        content = document["paths"]["/v1/responses"]["post"]["requestBody"]["content"]["application/json"]
        assert collector.post(content["example"]).status == 202
