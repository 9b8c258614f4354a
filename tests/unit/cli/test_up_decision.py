"""When `closeloop up` counts a service as started although it is not ready, and what it says then."""

from types import SimpleNamespace
from typing import Any

import pytest

from cli.up import decision
from deploy.local.services import undecided
from shared.kafka.log_identity import ADOPT, LogMismatch

WIPED = str(LogMismatch({"t": "the topic t was made anew"}))


class TestAServiceThatIsNotReady:
    def test_waits_for_an_operator_when_nothing_else_is_missing(self) -> None:
        assert undecided({"parts": {"boot": "ok", "consumer": WIPED}}) == [WIPED]

    @pytest.mark.parametrize(
        "body",
        [
            {"parts": {"boot": "ok", "consumer": "ok"}},
            {"parts": {"boot": "ok", "consumer": "joining the consumer group"}},
            {"parts": {"postgres": "TimeoutError", "consumer": WIPED}},
            "no answer (ConnectError)",
            {},
        ],
    )
    def test_does_not_otherwise(self, body: object) -> None:
        assert undecided(body) == []


def test_each_fault_is_said_once_with_who_waits_and_the_command() -> None:
    product: Any = SimpleNamespace(undecided={"scorer": [WIPED], "notifier": [WIPED]})
    said = decision(product)
    assert "wait for you: scorer, notifier" in said
    assert said.count("the topic t was made anew") == 1
    assert f".venv/bin/{ADOPT} --dry-run" in said
