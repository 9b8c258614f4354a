"""How an answer is amended and retracted after it was submitted."""

from uuid import uuid4

from tests.integration.collector.running import Collector, Topic

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def new_id() -> str:
    return f"r-{uuid4()}"


class TestAmending:
    async def test_by_token_in_the_header(self, collector: Collector, responses: Topic) -> None:
        accepted = collector.post({"score": 2, "complete": False}).json
        reply = collector.request(
            "PATCH",
            f"/v1/responses/{accepted['response_id']}",
            {"comment": "Too late", "complete": True, "revision": 2},
            authorization=f"Bearer {accepted['amend_token']}",
            traceparent=TRACE,
        )
        assert (reply.status, reply.json) == (
            202,
            {"response_id": accepted["response_id"], "status": "accepted"},
        )
        submitted, amended = await responses.about(accepted["response_id"], count=2)
        assert amended.partition == submitted.partition
        assert amended.key == submitted.key
        assert amended.headers["ce_type"] == "response.amended.v1"
        assert amended.headers["traceparent"] == TRACE
        assert amended.body["comment"] == "Too late"
        assert amended.body["revision"] == 2
        assert "score" not in amended.body

    def test_by_token_in_the_body(self, collector: Collector) -> None:
        accepted = collector.post({"score": 2}).json
        path = f"/v1/responses/{accepted['response_id']}"
        body = {"score": 3, "amend_token": accepted["amend_token"]}
        assert collector.request("PATCH", path, body, authorization="").status == 202

    async def test_by_a_secret_key_before_the_answer_is_there(
        self, collector: Collector, responses: Topic
    ) -> None:
        response_id = new_id()
        assert collector.request("PATCH", f"/v1/responses/{response_id}", {"score": 3}).status == 202
        [amended] = await responses.about(response_id)
        assert amended.body["score"] == 3

    def test_of_a_score_is_checked_against_the_answers_scale(self, collector: Collector) -> None:
        accepted = collector.post({"score": 5, "metric": "csat"}).json
        path, bearer = f"/v1/responses/{accepted['response_id']}", f"Bearer {accepted['amend_token']}"
        assert collector.request("PATCH", path, {"score": 6}, authorization=bearer).status == 422
        assert collector.request("PATCH", path, {"score": 4}, authorization=bearer).status == 202
        assert collector.request("PATCH", path, {"score": 8, "metric": "csat"}).status == 422
        assert collector.request("PATCH", path, {"score": 6, "metric": "csat", "scale": "1-5"}).status == 422
        assert collector.request("PATCH", path, {"score": 6, "metric": "csat", "scale": "1-7"}).status == 202

    def test_by_token_is_not_for_hours_without_end(self, collector: Collector) -> None:
        """Each amendment makes every service read the whole answer: a page may not keep them at it."""
        accepted = collector.post({"score": 2}).json
        path, bearer = f"/v1/responses/{accepted['response_id']}", f"Bearer {accepted['amend_token']}"

        def amend(body: dict[str, object]) -> int:
            return collector.request("PATCH", path, body, authorization=bearer).status

        assert amend({"answers": [{"question": "why", "value": "x" * 9_000}] * 8}) == 413
        statuses = [amend({"score": score % 10, "revision": score + 1}) for score in range(12)]
        assert statuses[:9] == [202] * 9
        assert statuses[-1] == 429
        assert collector.request("PATCH", path, {"score": 1}).status == 202
        other = collector.post({"score": 2}).json
        bearer = f"Bearer {other['amend_token']}"
        path = f"/v1/responses/{other['response_id']}"
        assert amend({"score": 3}) == 202

    async def test_by_token_is_for_the_content_that_came_with_it(
        self, collector: Collector, responses: Topic
    ) -> None:
        """Somebody else who sends another answer under the same id changes that one only."""
        shared = new_id()
        for number, body in enumerate(({"score": 10}, {"score": 0})):
            accepted = collector.from_page({**body, "response_id": shared}).json
            reply = collector.request(
                "PATCH",
                f"/v1/responses/{accepted['response_id']}",
                {"score": 5, "revision": number + 1},
                authorization=f"Bearer {accepted['amend_token']}",
            )
            assert reply.status == 202
        records = await responses.about(accepted["response_id"], count=4)
        submitted, amended = records[0::2], records[1::2]
        assert [r.body["fingerprint"] for r in amended] == [r.body["fingerprint"] for r in submitted]
        assert amended[0].body["fingerprint"] != amended[1].body["fingerprint"]
        assert {(r.body["metric"], r.body["scale"]) for r in amended} == {("nps", "0-10")}

    def test_of_another_answer_is_forbidden(self, collector: Collector) -> None:
        token = collector.post({"score": 5}).json["amend_token"]
        reply = collector.request(
            "PATCH", "/v1/responses/other", {"score": 6}, authorization=f"Bearer {token}"
        )
        assert reply.status == 403

    def test_with_a_forged_token_is_401(self, collector: Collector) -> None:
        accepted = collector.post({"score": 5}).json
        token = accepted["amend_token"]
        for forged in (token[:-4] + "AAAA", "amd_", "amd_x", token + "x" * 3000, "amd_é"):
            path, body = (
                f"/v1/responses/{accepted['response_id']}",
                {"score": 6, "amend_token": forged[:2048]},
            )
            assert collector.request("PATCH", path, body, authorization="").status == 401

    def test_without_anything_is_401(self, collector: Collector) -> None:
        assert collector.request("PATCH", "/v1/responses/x", {"score": 6}, authorization="").status == 401
        for body in ({"score": 99}, {"nonsense": 1}, {"score": 99, "amend_token": "amd_x"}):
            assert collector.request("PATCH", "/v1/responses/x", body, authorization="").status == 401

    def test_reaches_its_own_store_only(self, collector: Collector) -> None:
        accepted = collector.request("POST", "/v1/responses", {"score": 3}).json
        path, bearer = f"/v1/responses/{accepted['response_id']}", f"Bearer {accepted['amend_token']}"
        elsewhere = f"{path}?store=another"
        assert collector.request("PATCH", elsewhere, {"score": 6}).status == 404
        assert collector.request("PATCH", elsewhere, {"score": 6}, authorization=bearer).status == 404
        assert collector.request("PATCH", path, {"score": 6}, authorization=bearer).status == 202


class TestRetracting:
    async def test_takes_a_secret_key(self, collector: Collector, responses: Topic) -> None:
        response_id = new_id()
        reply = collector.request("DELETE", f"/v1/responses/{response_id}?reason=spam")
        assert (reply.status, reply.json["response_id"]) == (202, response_id)
        [written] = await responses.about(response_id)
        assert written.headers["ce_type"] == "response.retracted.v1"
        assert written.body["reason"] == "spam"

    def test_does_not_take_an_amend_token(self, collector: Collector) -> None:
        accepted = collector.post({"score": 5}).json
        path = f"/v1/responses/{accepted['response_id']}"
        reply = collector.request("DELETE", path, authorization=f"Bearer {accepted['amend_token']}")
        assert reply.status == 401

    async def test_of_an_id_with_a_slash(self, collector: Collector, responses: Topic) -> None:
        response_id = f"shop/{uuid4()}"
        assert collector.request("DELETE", f"/v1/responses/{response_id}").status == 202
        assert await responses.about(response_id)

    def test_of_an_id_with_a_control_character_is_422(self, collector: Collector) -> None:
        assert collector.request("DELETE", "/v1/responses/a%00b").status == 422
