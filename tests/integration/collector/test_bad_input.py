"""Every bad input gets its stated answer, nothing of it comes back, and the connection goes on."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from tests.integration.collector.running import ORIGIN, Collector, Topic

CANARY = "canary-7f3a91"
"""Stands in bad bodies; may stand in no answer and in no record."""


def body(**fields: Any) -> bytes:
    return json.dumps({"score": 9, "comment": CANARY, **fields}).encode()


def raw(score: bytes) -> bytes:
    return b'{"comment": "%s", "score": %s}' % (CANARY.encode(), score)


def minutes_ahead(count: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=count)).isoformat()


NOT_JSON = {
    "not JSON": b"score=9&comment=" + CANARY.encode(),
    "empty": b"",
    "cut short": body()[:-1],
    "two values": body() + body(),
    "invalid UTF-8": b'{"score": 9, "comment": "' + CANARY.encode() + b'\xff\xfe"}',
    "byte order mark": b"\xef\xbb\xbf" + body(),
    "UTF-16": body().decode().encode("utf-16"),
    "UTF-32": body().decode().encode("utf-32"),
    "lone surrogate outside of text": b'{"score": 9, "comment": "' + CANARY.encode() + b'"\\ud83d}',
    "raw control character": b'{"score": 9, "comment": "' + CANARY.encode() + b'\x00"}',
    "nesting of 200,000": b"[" * 200_000,
    "nesting of 200,000 in a field": raw(b"[" * 200_000 + b"]" * 50),
    "nesting of 900": b'{"score": 9, "answers": ' + b"[" * 900 + b"]" * 900 + b"}",
    "integer of 5,000 digits": raw(b"9" * 5000),
}

MISFITS: dict[str, tuple[bytes, str]] = {
    "NaN": (raw(b"NaN"), "/score"),
    "Infinity": (raw(b"Infinity"), "/score"),
    "1e999": (raw(b"1e999"), "/score"),
    "integer of 4,000 digits": (raw(b"9" * 4000), "/score"),
    "no score": (json.dumps({"comment": CANARY}).encode(), "/score"),
    "score null": (raw(b"null"), "/score"),
    "score 11": (raw(b"11"), "/score"),
    "score -1": (raw(b"-1"), "/score"),
    "score 7.5": (raw(b"7.5"), "/score"),
    "score 9.0": (raw(b"9.0"), "/score"),
    "score as text": (raw(b'"9"'), "/score"),
    "score true": (raw(b"true"), "/score"),
    "score as list": (raw(b"[9]"), "/score"),
    "score outside of csat": (body(metric="csat", score=0), "/score"),
    "score outside of its scale": (body(metric="ces", scale="1-7", score=8), "/score"),
    "unknown field": (body(scroe=CANARY), "/scroe"),
    "unknown metric": (body(metric=CANARY), "/metric"),
    "unknown scale": (body(scale=CANARY), "/scale"),
    "scale of another metric": (body(metric="nps", scale="1-5"), "/scale"),
    "comment of 10,001 characters": (body(comment=(CANARY * 1000)[:10_001]), "/comment"),
    "comment that is no text": (body(comment=[CANARY]), "/comment"),
    "U+0000 in the comment": (body(comment=f"{CANARY}\0"), "/comment"),
    "U+0000 deep inside": (body(answers=[{"question": "q", "value": ["\0"]}]), "/answers/0/value/0"),
    "U+0000 in an id": (body(customer={"id": "a\0"}), "/customer/id"),
    "time without zone": (body(answered_at="2026-11-22T10:00:00"), "/answered_at"),
    "time that is none": (body(answered_at=CANARY), "/answered_at"),
    "time as a number": (body(answered_at=1_700_000_000), "/answered_at"),
    "time as digits": (body(answered_at="1700000000"), "/answered_at"),
    "leap second within a month": (body(answered_at="2016-12-30T23:59:60Z"), "/answered_at"),
    "time a day ahead": (body(answered_at=minutes_ahead(1440)), "/answered_at"),
    "time in 9999": (body(answered_at="9999-12-31T23:59:59-14:00"), "/answered_at"),
    "time in year 1": (body(answered_at="0001-01-01T00:00:00+14:00"), "/answered_at"),
    "time in 1999": (body(answered_at="1999-12-31T23:59:59Z"), "/answered_at"),
    "empty response_id": (body(response_id=""), "/response_id"),
    "long response_id": (body(response_id="x" * 129), "/response_id"),
    "control character in response_id": (body(response_id="a\nb"), "/response_id"),
    "touchpoint with capitals": (body(touchpoint="Checkout"), "/touchpoint"),
    "touchpoint with a line end": (body(touchpoint="checkout\n"), "/touchpoint"),
    "unknown channel": (body(channel=CANARY), "/channel"),
    "locale": (body(locale="not a locale"), "/locale"),
    "complete as text": (body(complete="no"), "/complete"),
    "unknown identity": (body(identity=CANARY), "/identity"),
    "51 answers": (body(answers=[{"question": "q", "value": 1}] * 51), "/answers"),
    "answer without question": (body(answers=[{"value": CANARY}]), "/answers/0/question"),
    "answer with an object": (body(answers=[{"question": "q", "value": {"a": CANARY}}]), "/answers/0/value"),
    "answer with a huge integer": (body(answers=[{"question": "q", "value": 2**64}]), "/answers/0/value"),
    "answer 1e999": (b'{"score": 9, "answers": [{"question": "q", "value": 1e999}]}', "/answers/0/value"),
    "51 segments": (body(segments={f"s{n}": "x" for n in range(51)}), "/segments"),
    "segment name": (body(segments={"Country!": "NL"}), "/segments/Country!"),
    "empty segment value": (body(segments={"country": ""}), "/segments/country"),
    "segment value with a line end": (body(segments={"country": "N\nL"}), "/segments/country"),
    "segment value of 129": (body(segments={"country": "x" * 129}), "/segments/country"),
    "customer without id and e-mail": (body(customer={"name": CANARY}), "/customer"),
    "blank customer id": (body(customer={"id": "  "}), "/customer/id"),
    "lone surrogate in an id": (body(response_id="\ud83d" + CANARY), "/response_id"),
    "lone surrogate in a customer's id": (body(customer={"id": CANARY + "\ude00"}), "/customer/id"),
    "lone surrogate in an e-mail": (body(customer={"email": "a\ud83d@b.example"}), "/customer/email"),
    "lone surrogate in an order's id": (body(order={"id": "\ud83d"}), "/order/id"),
    "e-mail with two @": (body(customer={"email": "a@b@c"}), "/customer/email"),
    "unknown field of the customer": (body(customer={"id": "c", "ref": CANARY}), "/customer/ref"),
    "order value below zero": (body(order={"value": -0.01}), "/order/value"),
    "order value of five decimals": (body(order={"value": 1.00001}), "/order/value"),
    "order value of 10^12": (body(order={"value": 10**12}), "/order/value"),
    "order value NaN": (b'{"score": 9, "order": {"value": NaN}}', "/order/value"),
    "order currency": (body(order={"value": 1, "currency": "USD"}), "/order/currency"),
    "a list": (json.dumps([{"score": 9, "comment": CANARY}]).encode(), ""),
    "a text": (json.dumps(CANARY).encode(), ""),
}

ON_OTHER_ROUTES: dict[str, tuple[str, str, bytes, int, str | None]] = {
    "order of an unknown kind": ("POST", "/v1/orders", body(type=CANARY), 422, ""),
    "order without a kind": ("POST", "/v1/orders", b'{"id": "o"}', 422, ""),
    "order with a field missing": (
        "POST",
        "/v1/orders",
        b'{"type": "delivered", "id": "o-1"}',
        422,
        "/delivered_at",
    ),
    "order with half of a refund's id": (
        "POST",
        "/v1/orders",
        b'{"type": "refunded", "id": "o", "refund_id": "\\ud83d", "refunded_at": "2026-01-01T00:00:00Z",'
        b' "amount": 1, "currency": "EUR"}',
        422,
        "/refund_id",
    ),
    "order in another currency": (
        "POST",
        "/v1/orders",
        b'{"type": "refunded", "id": "o", "refund_id": "r", "refunded_at": "2026-01-01T00:00:00Z",'
        b' "amount": 1, "currency": "USD"}',
        422,
        "/currency",
    ),
    "order with U+0000": (
        "POST",
        "/v1/orders",
        b'{"type": "delivered", "id": "o\\u0000", "delivered_at": "2026-01-01T00:00:00Z"}',
        422,
        "/id",
    ),
    "order that is not JSON": ("POST", "/v1/orders", b"[" * 200_000, 400, None),
    "engagement of an unknown kind": (
        "POST",
        "/v1/engagements",
        json.dumps({"kind": CANARY, "engaged_at": "2026-01-01T00:00:00Z", "customer": {"id": "c"}}).encode(),
        422,
        "/kind",
    ),
    "empty amendment": ("PATCH", "/v1/responses/r-1", b"{}", 422, ""),
    "amendment to score 11": ("PATCH", "/v1/responses/r-1", b'{"score": 11}', 422, "/score"),
    "amendment with revision 0": (
        "PATCH",
        "/v1/responses/r-1",
        b'{"score": 1, "revision": 0}',
        422,
        "/revision",
    ),
    "amendment that is not JSON": ("PATCH", "/v1/responses/r-1", b"\xff", 400, None),
    "parameter of the hot route": ("POST", "/v1/responses?stroe=x", b'{"score": 9}', 422, "/query/stroe"),
    "parameter sent twice": ("POST", "/v1/responses?store=a&store=b", b'{"score": 9}', 422, "/query/store"),
    "parameter of an order": ("POST", "/v1/orders?stroe=x", b"{}", 422, "/query/stroe"),
    "amendment of a revision beyond the column": (
        "PATCH",
        "/v1/responses/r-1",
        b'{"score": 1, "revision": 2147483648}',
        422,
        "/revision",
    ),
    "token for nobody": ("POST", "/v1/customer-tokens", b"{}", 422, ""),
}


def check_problem(reply: Any, status: int) -> dict[str, Any]:
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    assert len(reply.body) < 4096
    assert CANARY.encode() not in reply.body
    problem: dict[str, Any] = reply.json
    assert problem["status"] == status
    assert {"type", "title", "detail"} <= set(problem)
    return problem


def refused(collector: Collector, method: str, path: str, sent: bytes, status: int) -> dict[str, Any]:
    """The problem; the same connection then takes a good answer."""
    headers = {"authorization": f"Bearer {collector.secret}", "content_type": "application/json"}
    connection = collector.connect()
    problem = check_problem(connection.send(method, path, sent, **headers), status)
    assert connection.send("POST", "/v1/responses", b'{"score": 9}', **headers).status == 202
    connection.close()
    return problem


class TestABadAnswer:
    @pytest.mark.parametrize("sent", NOT_JSON.values(), ids=NOT_JSON.keys())
    def test_that_is_not_json_is_400(self, collector: Collector, sent: bytes) -> None:
        assert refused(collector, "POST", "/v1/responses", sent, 400)["type"].endswith(":not-json")

    @pytest.mark.parametrize(("sent", "pointer"), MISFITS.values(), ids=MISFITS.keys())
    def test_that_does_not_fit_is_422_with_a_pointer(
        self, collector: Collector, sent: bytes, pointer: str
    ) -> None:
        problem = refused(collector, "POST", "/v1/responses", sent, 422)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]

    @pytest.mark.parametrize(
        ("method", "path", "sent", "status", "pointer"), ON_OTHER_ROUTES.values(), ids=ON_OTHER_ROUTES.keys()
    )
    def test_on_another_route(
        self, collector: Collector, method: str, path: str, sent: bytes, status: int, pointer: str | None
    ) -> None:
        problem = refused(collector, method, path, sent, status)
        if pointer is not None:
            assert [error["pointer"] for error in problem["errors"]] == [pointer]

    @pytest.mark.parametrize(
        "sent",
        [
            NOT_JSON["nesting of 200,000"],
            NOT_JSON["integer of 5,000 digits"],
            MISFITS["NaN"][0],
            b"{" + b",".join(b'"%s%d":1' % (b"x" * 5, n) for n in range(15_000)) + b"}",
        ],
        ids=["deep", "digits", "NaN", "many fields"],
    )
    def test_is_refused_at_once(self, collector: Collector, sent: bytes) -> None:
        process = psutil.Process(collector.process.pid)

        def seconds() -> float:
            """Of its CPU: what a clock shows is also what else the machine does."""
            before = process.cpu_times()
            assert collector.post(sent).status in (400, 422)
            after = process.cpu_times()
            return after.user + after.system - before.user - before.system

        assert min(seconds() for _ in range(5)) < 0.05

    def test_a_clock_may_be_5_minutes_ahead_and_no_more(self, collector: Collector) -> None:
        assert collector.post({"score": 9, "answered_at": minutes_ahead(4.8)}).status == 202
        check_problem(collector.post(body(answered_at=minutes_ahead(5.2))), 422)

    def test_of_many_faults_in_long_names_stays_below_4_kb(self, collector: Collector) -> None:
        fields = {f"{n}\N{GRINNING FACE}" * 100: CANARY for n in range(100)}
        problem = check_problem(collector.post(json.dumps(fields).encode()), 422)
        assert problem["errors"]

    def test_leaves_no_record_and_no_word_in_the_log(self, collector: Collector) -> None:
        collector.post(body(score=11))
        log = collector.log.read_text()
        assert CANARY not in log
        assert "Traceback" not in log

    async def test_never_reaches_kafka(self, collector: Collector, responses: Topic) -> None:
        collector.post(body(score=11, response_id="bad-and-gone"))
        assert await responses.holds_nothing_about("bad-and-gone")
        assert await responses.holds_nothing_about(CANARY)


class TestTheEnvelopeOfARequest:
    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
    )
    def test_another_content_type_is_415(self, collector: Collector, content_type: str) -> None:
        check_problem(collector.post(body(), content_type=content_type), 415)

    @pytest.mark.parametrize(
        "content_type",
        ["application/json; charset=utf-8", "Application/JSON", "application/cloudevents+json"],
    )
    def test_json_by_any_of_its_names_is_taken(self, collector: Collector, content_type: str) -> None:
        assert collector.post({"score": 9}, content_type=content_type).status == 202

    def test_no_key_is_401(self, collector: Collector) -> None:
        reply = collector.post(body(), authorization="")
        check_problem(reply, 401)
        assert reply.headers["www-authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(
        "authorization",
        ["Bearer", "Bearer ", "Basic dTpw", "Bearer x", "Bearer sec_aaaaaaaaaaaa_" + "x" * 43, "Bearer \xe9"],
    )
    def test_an_unknown_key_is_401(self, collector: Collector, authorization: str) -> None:
        check_problem(collector.post(body(), authorization=authorization), 401)

    def test_a_wrong_secret_of_a_known_key_is_401(self, collector: Collector) -> None:
        forged = collector.secret[:-5] + "AAAAA"
        check_problem(collector.post(body(), authorization=f"Bearer {forged}"), 401)

    def test_a_store_that_is_not_the_keys_is_404(self, collector: Collector) -> None:
        check_problem(collector.request("POST", "/v1/responses?store=elsewhere", body()), 404)
        check_problem(collector.request("POST", "/v1/orders?store=elsewhere", body()), 404)
        assert collector.request("POST", "/v1/responses?store=shop", {"score": 9}).status == 202

    @pytest.mark.parametrize(
        ("method", "path", "status"), [("GET", "/v1/responses", 405), ("POST", "/v1/nothing", 404)]
    )
    def test_an_address_or_a_method_that_is_not_there(
        self, collector: Collector, method: str, path: str, status: int
    ) -> None:
        check_problem(collector.request(method, path), status)

    def test_two_ids_that_differ_are_422(self, collector: Collector) -> None:
        reply = collector.post({"score": 9, "response_id": "a"}, idempotency_key="b")
        assert check_problem(reply, 422)["errors"][0]["pointer"] == "/response_id"

    def test_of_a_repeated_field_the_last_counts(self, collector: Collector) -> None:
        assert collector.post(b'{"score": 11, "score": 9}').status == 202

    def test_the_metrics_tell_why(self, collector: Collector) -> None:
        collector.post(body(score=11))
        collector.post(b"{", authorization=f"Bearer {collector.public}", origin=ORIGIN)
        text = collector.metrics()
        assert 'closeloop_response_rejections_total{reason="invalid:score"}' in text
        assert 'closeloop_response_rejections_total{reason="not-json"}' in text
        assert 'closeloop_responses_received_total{channel="unknown",outcome="invalid"}' in text
