"""The policy `latest`: each respondent once for each question, by the last answer."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

from services.scorer.counting.domain.answer import Answer, Body, settle_latest

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def answer(
    name: str,
    who: str | None = "asha",
    hours: float = 0,
    *,
    store: str = "shop",
    metric: str = "nps",
    scale: str = "0-10",
    test: bool = False,
    **more: Any,
) -> Answer:
    at = NOON + timedelta(hours=hours)
    body = Body("ce", "f", metric, scale, 9, at, who, test, None, {}, "web", at, b"{}")
    return Answer(store, name, body=body, **more)


def latest(*answers: Answer) -> set[str]:
    settle_latest(answers)
    return {one.response_id for one in answers if one.latest}


class TestSettleLatest:
    def test_the_last_answer_of_each_respondent(self) -> None:
        for order in permutations([answer("a", hours=1), answer("b", hours=3), answer("c", hours=2)]):
            assert latest(*order, answer("d", "ben")) == {"b", "d"}

    def test_one_that_was_latest_before_stops_being_it(self) -> None:
        assert latest(answer("a", hours=1, latest=True), answer("b", hours=2)) == {"b"}

    def test_who_answers_twice_at_once_counts_by_the_higher_id(self) -> None:
        for order in permutations([answer("a"), answer("c"), answer("b")]):
            assert latest(*order) == {"c"}

    def test_every_question_of_every_store_on_its_own(self) -> None:
        answers = [
            answer("a"),
            answer("b", metric="csat", scale="1-5"),
            answer("c", metric="csat", scale="1-7"),
            answer("d", store="other"),
        ]
        assert latest(*answers) == {"a", "b", "c", "d"}

    def test_nobody_in_particular_is_always_somebody_else(self) -> None:
        assert latest(answer("a", None), answer("b", None, hours=1)) == {"a", "b"}

    def test_what_does_not_count_gives_way_to_an_earlier_one(self) -> None:
        for gone in (answer("b", hours=2, retracted=True), answer("b", hours=2, test=True)):
            assert latest(answer("a", hours=1), gone) == {"a"}

    def test_one_without_its_original_is_nobodys(self) -> None:
        assert latest(Answer("shop", "a", latest=True)) == set()
