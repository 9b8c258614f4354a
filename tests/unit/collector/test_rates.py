"""A token bucket."""

import pytest

from services.collector.rates import TokenBucket
from shared.http import Problem


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
