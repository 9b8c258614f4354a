"""A loop that ends by itself ends the process."""

import asyncio
import os
import signal
from typing import Any

import pytest

from services.scorer.settings import ScorerSettings
from shared.service.serving import Loops, run


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: sent.append(number))
    return sent


async def cancels_itself() -> None:
    """As when a library lets the cancellation of one of its own tasks through."""
    raise asyncio.CancelledError


async def waits() -> None:
    await asyncio.Event().wait()


async def ends() -> None:
    """At once."""


class TestALoop:
    @pytest.mark.parametrize("may_end", [False, True])
    async def test_that_was_cancelled_by_somebody_else_has_failed(
        self, signals: list[int], may_end: bool
    ) -> None:
        loops = Loops()
        loops.start("consumer", cancels_itself(), may_end=may_end)
        await asyncio.sleep(0.01)
        assert (loops.failed, signals) == ("consumer", [signal.SIGTERM])

    async def test_that_we_cancel_at_the_end_has_not(self, signals: list[int]) -> None:
        loops = Loops()
        loops.start("consumer", waits())
        await loops.close()
        await asyncio.sleep(0.01)
        assert (loops.failed, signals) == (None, [])

    async def test_may_end_when_it_said_so(self, signals: list[int]) -> None:
        loops = Loops()
        loops.start("boot", ends(), may_end=True)
        loops.start("other", waits())
        await asyncio.sleep(0.01)
        assert (loops.failed, signals) == (None, [])
        await loops.close()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("NOTIFIER_PUBLIC_URL", "feedback.shop.example", "is no address: write http(s)://host[:port]"),
        ("CLOSELOOP_URLS", '{"inbox": "shop.example/inbox"}', "is no address: write http(s)://host[:port]"),
        ("CLOSELOOP_HOSTS", "https://shop.example", "is no name of a host: write names alone"),
    ],
)
def test_a_service_does_not_start_with_an_address_that_is_none(
    name: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CLOSELOOP_SECRET": "s" * 32,
        name: value,
    }
    for setting, text in environment.items():
        monkeypatch.setenv(setting, text)

    def never(*_: object) -> Any:
        raise AssertionError("it starts")

    assert run("scorer", never, ScorerSettings, never, ["serve"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"scorer: the setting {name}: '")
    assert why in said
