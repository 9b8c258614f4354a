"""The event of an amendment."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.collector.domain import InvalidInput
from services.collector.responses.bodies import AmendmentIn
from services.collector.responses.handlers import amendment_event

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def amendment(body: AmendmentIn, **known: Any) -> dict[str, Any]:
    about: dict[str, Any] = {"metric": None, "scale": None, "fingerprint": None, **known}
    event = amendment_event(body, store="shop", response_id="r", key_id="k", now=NOW, **about)
    return json.loads(event.body())


class TestAnAmendment:
    def test_needs_something_to_amend(self) -> None:
        with pytest.raises(InvalidInput):
            amendment({"revision": 2})

    def test_carries_only_what_changed(self) -> None:
        always = {"store", "response_id", "received_at", "key_id", "revision"}
        assert set(amendment({"score": 3})) == {*always, "score"}

    def test_says_what_its_sender_took_the_answer_for(self) -> None:
        event = amendment({"score": 3}, metric="csat", scale="1-7", fingerprint="f-1")
        assert (event["metric"], event["scale"], event["fingerprint"]) == ("csat", "1-7", "f-1")

    @pytest.mark.parametrize(
        ("score", "known"),
        [
            (6, {"metric": "csat", "scale": "1-5"}),
            (8, {"metric": "csat"}),
            (8, {"scale": "1-7"}),
            (11, {}),
        ],
    )
    def test_is_refused_when_no_scale_that_fits_has_its_score(self, score: int, known: Any) -> None:
        with pytest.raises(InvalidInput) as refused:
            amendment({"score": score}, **known)
        assert refused.value.pointer == "/score"

    @pytest.mark.parametrize("known", [{"metric": "nps", "scale": "1-7"}, {"scale": "1-9"}])
    def test_is_refused_when_there_is_no_such_scale(self, known: Any) -> None:
        with pytest.raises(InvalidInput) as refused:
            amendment({"score": 3}, **known)
        assert refused.value.pointer == "/scale"
