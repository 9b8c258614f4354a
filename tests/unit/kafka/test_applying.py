"""When a consumer stops rather than bury a bad deploy."""

from shared.kafka import Breaker


def bury(breaker: Breaker, most: int) -> int:
    """How many of that many bad records in a row it lets through."""
    for buried in range(most):
        if not breaker.allows_bad():
            return buried
        breaker.bad()
    return most


class TestBreaker:
    def test_allows_fifty_in_a_row(self) -> None:
        assert bury(Breaker(), 500) == 50

    def test_a_good_record_ends_a_row(self) -> None:
        breaker = Breaker()
        assert bury(breaker, 49) == 49
        breaker.good(1)

        assert bury(breaker, 500) == 50

    def test_a_batch_without_good_records_ends_no_row(self) -> None:
        breaker = Breaker()
        assert bury(breaker, 49) == 49
        breaker.good(0)

        assert bury(breaker, 500) == 1

    def test_opens_above_five_in_a_hundred_of_the_last_thousand(self) -> None:
        breaker = Breaker()
        breaker.good(950)
        buried = 0
        while buried < 1000 and breaker.allows_bad():
            breaker.bad()
            buried += 1
            breaker.good(1)

        assert buried == 50

    def test_forgets_what_is_long_ago(self) -> None:
        breaker = Breaker()
        for _ in range(20):
            breaker.good(980)
            assert bury(breaker, 20) == 20

    def test_does_not_judge_by_the_share_before_it_saw_enough(self) -> None:
        breaker = Breaker()
        for _ in range(20):
            assert breaker.allows_bad()
            breaker.bad()
            breaker.good(2)

    def test_asking_counts_nothing(self) -> None:
        breaker = Breaker()
        assert all(breaker.allows_bad() for _ in range(500))
