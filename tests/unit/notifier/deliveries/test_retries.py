"""When to try again, and when to leave a target alone."""

import pytest

from services.notifier.deliveries.retries import MOST_ATTEMPTS, Breaker, delay_after


class TestDelays:
    def test_follow_the_schedule_of_standard_webhooks(self) -> None:
        waits = [delay_after(attempt, luck=1) for attempt in range(1, MOST_ATTEMPTS + 1)]
        assert waits == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400, None]

    def test_have_full_jitter(self) -> None:
        assert delay_after(2, luck=0) == 0
        assert delay_after(2, luck=0.5) == 150

    @pytest.mark.parametrize(("asked", "expected"), [(60, 60), (10, 30), (1e9, 86_400)])
    def test_give_a_receiver_the_time_that_it_asks_for(self, asked: float, expected: float) -> None:
        assert delay_after(2, luck=0.1, retry_after_seconds=asked) == expected

    def test_are_shorter_in_tests(self) -> None:
        assert delay_after(1, luck=1, scale=0.1) == 0.5


class TestTheBreaker:
    def test_opens_after_failures_in_a_row(self) -> None:
        breaker = Breaker(failures=3, first_seconds=10)
        for _ in range(2):
            breaker.failure(0)
        breaker.success()
        for _ in range(3):
            breaker.failure(0)
        assert breaker.free(5, in_flight=0, most=8) == 0
        assert breaker.opens_in(5) == 5

    def test_lets_one_through_when_the_time_is_over(self) -> None:
        breaker = Breaker(failures=1, first_seconds=10)
        breaker.failure(0)
        assert breaker.free(10, in_flight=0, most=8) == 1
        assert breaker.free(10, in_flight=1, most=8) == 0
        breaker.success()
        assert breaker.free(10, in_flight=1, most=8) == 7

    def test_waits_longer_each_time_up_to_a_bound(self) -> None:
        breaker = Breaker(failures=1, first_seconds=10, longest_seconds=35)
        waits = []
        now = 0.0
        for _ in range(4):
            breaker.failure(now)
            waits.append(breaker.opens_in(now))
            now += breaker.opens_in(now)
        assert waits == [10, 20, 35, 35]

    def test_counts_those_that_were_on_their_way_once(self) -> None:
        breaker = Breaker(failures=1, first_seconds=10)
        for _ in range(20):
            breaker.failure(0)
        assert breaker.opens_in(0) == 10

    def test_leaves_alone_a_receiver_that_asked_for_it(self) -> None:
        breaker = Breaker(failures=3)
        breaker.hold(0, 60)
        breaker.success()
        assert breaker.free(59, in_flight=0, most=8) == 0
        assert breaker.opens_in(20) == 40
        assert breaker.free(60, in_flight=0, most=8) == 8

    def test_but_no_longer_than_an_hour(self) -> None:
        breaker = Breaker()
        breaker.hold(0, 1e9)
        assert breaker.opens_in(0) == 3600
