"""The event of an amendment."""

import json
from datetime import UTC, datetime

import pytest

from services.collector.domain import InvalidInput
from services.collector.responses.handlers import amendment_event

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class TestAnAmendment:
    def test_needs_something_to_amend(self) -> None:
        with pytest.raises(InvalidInput):
            amendment_event(
                {"revision": 2}, store="shop", response_id="r", key_id="k", scale=("nps", None), now=NOW
            )

    def test_carries_only_what_changed(self) -> None:
        event = amendment_event(
            {"score": 3}, store="shop", response_id="r", key_id="k", scale=("nps", None), now=NOW
        )
        assert set(json.loads(event.body())) == {
            "store",
            "response_id",
            "received_at",
            "key_id",
            "revision",
            "score",
        }
