"""Token buckets, and the table of them."""

import pytest

from shared.http.problems import Problem
from shared.http.rates import Buckets, TokenBucket


def taken(bucket: TokenBucket, now: float, tries: int = 1000) -> int:
    for count in range(tries):
        try:
            bucket.take(now)
        except Problem:
            return count
    return tries


class TestABucket:
    def test_gives_a_second_of_its_rate_at_once(self) -> None:
        assert taken(TokenBucket(10), 100.0) == 10

    def test_fills_with_time(self) -> None:
        bucket = TokenBucket(10)
        taken(bucket, 100.0)
        assert taken(bucket, 100.35) == 3
        assert taken(bucket, 200.0) == 10

    def test_without_a_rate_never_ends(self) -> None:
        assert taken(TokenBucket(0), 100.0) == 1000

    def test_of_less_than_one_a_second_still_gives_one(self) -> None:
        bucket = TokenBucket(0.1)
        assert taken(bucket, 100.0) == 1
        assert taken(bucket, 105.0) == 0
        assert taken(bucket, 110.0) == 1

    def test_says_when_to_go_on(self) -> None:
        bucket = TokenBucket(10)
        taken(bucket, 100.0)
        with pytest.raises(Problem) as refused:
            bucket.take(100.0)
        assert refused.value.status == 429
        assert refused.value.headers == {
            "Retry-After": "1",
            "RateLimit-Limit": "10",
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": "1",
        }

    def test_that_was_charged_more_waits_until_that_is_paid(self) -> None:
        bucket = TokenBucket(10)
        assert taken(bucket, 100.0) == 10
        bucket.charge(100.0, 4)
        assert taken(bucket, 100.35) == 0
        assert taken(bucket, 100.75) == 3

    def test_may_hold_more_than_a_second(self) -> None:
        assert taken(TokenBucket(1, burst=20), 100.0) == 20


class TestTheTable:
    def test_has_a_bucket_for_each_client(self) -> None:
        buckets = Buckets(lambda: TokenBucket(10))
        assert [taken(buckets.of(client), 100.0) for client in "aab"] == [10, 0, 10]

    def test_forgets_only_what_is_full_and_stays_bounded(self) -> None:
        buckets = Buckets(lambda: TokenBucket(10), most=100)
        taken(buckets.of("noisy", 100.0), 100.0)
        for number in range(99):
            buckets.of(number, 100.0)
        buckets.of("new", 100.0)
        assert len(buckets) == 2
        assert taken(buckets.of("noisy", 100.0), 100.0) == 0

    def test_lets_newcomers_share_a_bucket_while_all_are_busy(self) -> None:
        buckets = Buckets(lambda: TokenBucket(10), most=100)
        for number in range(100):
            taken(buckets.of(number, 100.0), 100.0)
        assert sum(taken(buckets.of(f"new {number}", 100.0), 100.0) for number in range(50)) == 10
        assert len(buckets) == 100
