"""What `decode` says of a record that is not an event, and what it keeps to itself."""

from datetime import UTC, datetime

import orjson
import pytest

from shared.events import NotAnEvent, decode, encode
from shared.events.customers import CustomerChanged
from shared.events.responses import ResponseSubmitted
from shared.events.topics import CUSTOMERS, RESPONSES

SECRET = "jane@example.com"


def headers_and_body() -> tuple[list[tuple[str, bytes]], dict[str, object]]:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    event = ResponseSubmitted(
        store="s",
        response_id="r",
        received_at=now,
        fingerprint="f",
        metric="nps",
        scale="0-10",
        score=9,
        answered_at=now,
    )
    _, body, headers = encode(event, source="test")
    return headers, orjson.loads(body)


class TestAnInvalidBody:
    @pytest.mark.parametrize(
        ("change", "detail"),
        [
            ({"score": SECRET}, "/score: int_parsing"),
            ({"customer": {"ref": 1, "email": SECRET}}, "/customer/ref: string_type"),
            ({"answers": [{"question": "q"}, {}]}, "/answers/1/question: missing"),
            ({"segments": {SECRET: 5}}, "/segments: string_type"),
        ],
    )
    def test_is_told_by_its_place_and_never_by_its_content(
        self, change: dict[str, object], detail: str
    ) -> None:
        headers, body = headers_and_body()
        with pytest.raises(NotAnEvent) as caught:
            decode(headers, orjson.dumps(body | change), topic=RESPONSES.name)

        assert str(caught.value) == f"invalid_body: {detail}"

    def test_of_a_type_that_is_newer_than_this_code_is_not_looked_at(self) -> None:
        headers, _ = headers_and_body()
        event, envelope = decode(
            [*headers, ("ce_type", b"response.submitted.v2")], b"\xff", topic=RESPONSES.name
        )

        assert event is None
        assert envelope.type == "response.submitted.v2"

    def test_headers_that_nobody_needs_may_hold_anything(self) -> None:
        headers, body = headers_and_body()
        event, _ = decode([*headers, ("x", b"\xff"), ("y", None)], orjson.dumps(body), topic=RESPONSES.name)

        assert event is not None


class TestARecordWithoutAValue:
    def test_is_the_end_of_a_key_where_the_topic_is_compacted(self) -> None:
        event = CustomerChanged(store="s", customer_ref="r", seq=1, tier="", erased=True)
        _, _, headers = encode(event, source="test")
        found, envelope = decode(headers, None, topic=CUSTOMERS.name)
        assert found is None
        assert envelope.type == event.type

    def test_is_no_event_anywhere_else(self) -> None:
        headers, _ = headers_and_body()
        with pytest.raises(NotAnEvent, match="no_value"):
            decode(headers, None, topic=RESPONSES.name)
