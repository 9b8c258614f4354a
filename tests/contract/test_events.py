"""Events are promises: what was sent once is read for ever."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.events import EVENTS, NotAnEvent, decode
from shared.events.responses import ResponseSubmitted

HERE = Path(__file__).parent
SAMPLES = sorted((HERE / "samples").glob("*.json"))
ENVELOPE = json.loads(SAMPLES[0].read_text())["headers"]


def record(event_type: str, body: Any) -> tuple[list[tuple[str, bytes]], bytes]:
    headers = {**ENVELOPE, "ce_type": event_type}
    return [(name, value.encode()) for name, value in headers.items()], json.dumps(body).encode()


def sample_body(event_type: str) -> dict[str, Any]:
    return json.loads((HERE / "samples" / f"{event_type}.json").read_text())["body"]


class TestOldSamples:
    def test_there_is_one_of_every_event(self) -> None:
        assert {path.stem for path in SAMPLES} == set(EVENTS)

    @pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
    def test_are_read_with_every_field_that_was_sent(self, path: Path) -> None:
        model = EVENTS[path.stem]
        body = sample_body(path.stem)
        event, envelope = decode(*record(path.stem, body), topic=model.topic.name)
        assert event is not None
        assert envelope.correlation_id == "0af7651916cd43dd8448eb211c80319c"
        again = json.loads(event.body())
        assert model.model_validate(again) == event
        assert set(body) <= set(again) | {name for name, value in body.items() if value is None}

    @pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
    def test_are_read_with_a_field_that_a_newer_producer_adds(self, path: Path) -> None:
        model = EVENTS[path.stem]
        body = {**sample_body(path.stem), "from_the_future": {"deep": [1]}}
        event, _ = decode(*record(path.stem, body), topic=model.topic.name)
        assert event == model.model_validate(sample_body(path.stem))


class TestACompatibleSchema:
    """`promised/` holds the schemas as first released; they are not generated again."""

    @pytest.mark.parametrize("event_type", sorted(EVENTS))
    def test_requires_nothing_new_and_keeps_every_field(self, event_type: str) -> None:
        promised = json.loads((HERE / "promised" / f"{event_type}.json").read_text())
        present = EVENTS[event_type].json_schema()
        assert set(present.get("required", [])) <= set(promised.get("required", []))
        for name, schema in promised["properties"].items():
            assert name in present["properties"], f"{name} was taken away: make a .v2 instead"
            assert kinds(schema) <= kinds(present["properties"][name]), f"{name} takes less than before"

    def test_is_refused_when_a_field_becomes_required(self) -> None:
        promised = json.loads((HERE / "promised" / "response.submitted.v1.json").read_text())
        assert not {"comment"} <= set(promised["required"])


def kinds(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a property takes."""
    options = schema.get("anyOf", [schema])
    return {str(option.get("type") or option.get("$ref") or "any") for option in options}


class TestAnUnknownEnumValue:
    def test_reads_as_other_and_keeps_the_word(self) -> None:
        body = {**sample_body("response.submitted.v1"), "channel": "hologram"}
        event, _ = decode(*record("response.submitted.v1", body), topic="feedback.responses.v1")
        assert isinstance(event, ResponseSubmitted)
        assert event.channel == "other"
        assert event.channel.raw == "hologram"


class TestWhatIsNotAnEvent:
    GOOD = sample_body("response.retracted.v1")

    @pytest.mark.parametrize(
        ("headers", "value", "reason"),
        [
            ([], b"{}", "no_envelope"),
            ([("ce_id", b"1"), ("ce_type", b"\xff")], b"{}", "headers_not_utf8"),
            (record("response.retracted.v1", GOOD)[0], None, "no_value"),
            (record("response.retracted.v1", GOOD)[0], b"not json", "invalid_body"),
            (record("response.retracted.v1", GOOD)[0], b'{"store": 7}', "invalid_body"),
            (record("order.delivered.v1", GOOD)[0], b"{}", "wrong_topic"),
        ],
    )
    def test_says_why(self, headers: Any, value: bytes | None, reason: str) -> None:
        with pytest.raises(NotAnEvent) as caught:
            decode(headers, value, topic="feedback.responses.v1")
        assert caught.value.reason == reason

    def test_never_repeats_what_was_sent(self) -> None:
        body = {**self.GOOD, "received_at": "a secret of the customer"}
        with pytest.raises(NotAnEvent) as caught:
            decode(*record("response.retracted.v1", body), topic="feedback.responses.v1")
        assert "secret" not in str(caught.value)

    def test_a_type_newer_than_this_code_is_skipped_not_refused(self) -> None:
        event, envelope = decode(*record("response.translated.v1", {}), topic="feedback.responses.v1")
        assert event is None
        assert envelope.type == "response.translated.v1"


class TestKeys:
    def test_parts_cannot_run_into_each_other(self) -> None:
        def key(store: str, response_id: str) -> bytes:
            body = {**sample_body("response.retracted.v1"), "store": store, "response_id": response_id}
            return EVENTS["response.retracted.v1"].model_validate(body).key()

        assert key("a:b", "c") != key("a", "b:c")
        assert key("a", "b") == key("a", "b")

    def test_all_revisions_of_an_answer_share_one(self) -> None:
        keys = {
            EVENTS[name].model_validate(sample_body(name)).key()
            for name in ("response.submitted.v1", "response.amended.v1", "response.retracted.v1")
        }
        assert len(keys) == 1
