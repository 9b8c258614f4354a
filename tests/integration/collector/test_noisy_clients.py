"""One client that asks too much takes nothing away from the others, whatever it asks."""

import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

import pytest

from tests.integration.collector.running import OTHER_ORIGIN, Collector, Reply, make_key

UNKNOWN = "Bearer sec_aaaaaaaaaaaa_" + "x" * 43
RATE = 10
"""What a client of the collector `behind_a_proxy` may send a second, and at once."""
REFUSED_COSTS = 5
NUMBERS = iter(range(1, 250))


@pytest.fixture
def noisy() -> str:
    """The address of a client, another one for each test."""
    return f"198.51.100.{next(NUMBERS)}"


@pytest.fixture
def honest() -> str:
    return f"203.0.113.{next(NUMBERS)}"


def statuses(send: Callable[[], Reply], times: int) -> list[int]:
    return [send().status for _ in range(times)]


class LetThrough(NamedTuple):
    """The statuses that were not 429, and how many requests the rate gave while they were sent.

    Compared with each other they say the same on a machine of any speed.
    """

    statuses: list[int]
    given: float


def let_through(send: Callable[[], Reply], times: int) -> LetThrough:
    started = time.monotonic()
    sent = statuses(send, times)
    return LetThrough([status for status in sent if status != 429], RATE * (1 + time.monotonic() - started))


def until_limited(send: Callable[[], Reply], good: Callable[[], Reply]) -> Reply:
    """The 429 for a good request, after at most so many others before it that they must cost more."""
    started = time.monotonic()
    sent = 0
    for _ in range(100):
        if (reply := good()).status == 429:
            return reply
        sent += send().status != 429
        given = RATE * (1 + time.monotonic() - started)
        assert sent <= given / REFUSED_COSTS + 1
    raise AssertionError("never limited")


class TestAPageThatSendsTooMuch:
    @pytest.mark.parametrize(
        "refused",
        [
            lambda c, at: c.from_page({"score": 11}, x_forwarded_for=at),
            lambda c, at: c.from_page(b"{", x_forwarded_for=at),
            lambda c, at: c.from_page({"score": 9}, x_forwarded_for=at, content_type="text/plain"),
            lambda c, at: c.from_page({"score": 9}, x_forwarded_for=at, origin=OTHER_ORIGIN),
            lambda c, at: c.request(
                "DELETE", "/v1/responses/x", authorization=f"Bearer {c.public}", x_forwarded_for=at
            ),
        ],
        ids=["422", "400", "415", "403", "403 on another route"],
    )
    def test_pays_more_for_what_is_refused_and_nobody_else_does(
        self,
        behind_a_proxy: Collector,
        noisy: str,
        honest: str,
        refused: Callable[[Collector, str], Reply],
    ) -> None:
        limited = until_limited(
            lambda: refused(behind_a_proxy, noisy),
            lambda: behind_a_proxy.from_page({"score": 9}, x_forwarded_for=noisy),
        )
        assert limited.headers["ratelimit-limit"] == str(RATE)
        assert int(limited.headers["retry-after"]) >= 1
        assert "your network address" in limited.json["detail"]
        assert (
            statuses(lambda: behind_a_proxy.from_page({"score": 9}, x_forwarded_for=honest), 8) == [202] * 8
        )

    def test_pays_for_a_body_that_is_too_large(self, behind_a_proxy: Collector, noisy: str) -> None:
        def too_large() -> Reply:
            reply = behind_a_proxy.from_page(b"x" * 300_000, x_forwarded_for=noisy)
            assert reply.status == 413
            return reply

        until_limited(too_large, lambda: behind_a_proxy.from_page({"score": 9}, x_forwarded_for=noisy))

    def test_is_one_client_with_all_addresses_of_its_network(
        self, behind_a_proxy: Collector, honest: str
    ) -> None:
        network = f"2001:db8:{uuid4().hex[:4]}:7"
        hosts = iter(range(40))
        passed, given = let_through(
            lambda: behind_a_proxy.from_page({"score": 9}, x_forwarded_for=f"{network}::{next(hosts):x}"), 40
        )
        assert len(passed) <= given + 1
        assert behind_a_proxy.from_page({"score": 9}, x_forwarded_for=honest).status == 202

    def test_is_known_by_what_the_proxy_saw_and_not_by_what_it_says(
        self, behind_a_proxy: Collector, noisy: str
    ) -> None:
        hosts = iter(range(40))
        passed, given = let_through(
            lambda: behind_a_proxy.from_page({"score": 9}, x_forwarded_for=f"192.0.2.{next(hosts)}, {noisy}"),
            40,
        )
        assert len(passed) <= given + 1

    def test_may_not_choose_its_address_where_no_proxy_is(self, limited: Collector) -> None:
        replies = [
            limited.from_page({"score": 11}, x_forwarded_for=f"192.0.2.{number}") for number in range(20)
        ]
        assert "20" in {reply.headers.get("ratelimit-limit") for reply in replies}


class TestAnAmendTokenThatIsUsedTooMuch:
    @pytest.mark.parametrize("in_header", [True, False])
    @pytest.mark.parametrize(
        "body", [{"score": 11}, {"nonsense": 1}, {"comment": 1}], ids=["scale", "field", "type"]
    )
    def test_counts_like_the_key_of_its_answer(
        self, behind_a_proxy: Collector, noisy: str, honest: str, in_header: bool, body: dict[str, object]
    ) -> None:
        accepted = behind_a_proxy.from_page({"score": 9}, x_forwarded_for=honest).json
        path, token = f"/v1/responses/{accepted['response_id']}", accepted["amend_token"]

        def amend(at: str, body: dict[str, object]) -> Reply:
            if in_header:
                return behind_a_proxy.request(
                    "PATCH", path, body, authorization=f"Bearer {token}", x_forwarded_for=at
                )
            return behind_a_proxy.request(
                "PATCH", path, body | {"amend_token": token}, authorization="", x_forwarded_for=at
            )

        passed, given = let_through(lambda: amend(noisy, body), 10)
        assert set(passed) == {422}
        assert len(passed) <= given / REFUSED_COSTS + 1
        assert amend(honest, {"score": 8}).status == 202


class TestAKeyThatIsGuessed:
    async def test_is_429_for_the_guesser_alone(
        self, behind_a_proxy: Collector, database_url: str, noisy: str, honest: str
    ) -> None:
        def guess() -> Reply:
            return behind_a_proxy.post({"score": 9}, authorization=UNKNOWN, x_forwarded_for=noisy)

        passed, given = let_through(guess, 30)
        assert set(passed) == {401}
        assert len(passed) <= given + 1
        assert int(guess().headers.get("retry-after", "1")) >= 1
        assert behind_a_proxy.post({"score": 9}, x_forwarded_for=noisy).status == 202
        token = await make_key(database_url, "public")
        assert (
            behind_a_proxy.from_page(
                {"score": 9}, authorization=f"Bearer {token}", x_forwarded_for=honest
            ).status
            == 202
        )


class TestASecretKey:
    def test_has_one_rate_from_wherever_it_sends(self, behind_a_proxy: Collector, noisy: str) -> None:
        replies = statuses(lambda: behind_a_proxy.post({"score": 11}, x_forwarded_for=noisy), 30)
        assert replies == [422] * 30
