"""Rules as data: the first match wins."""

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from services.notifier.domain import DEFAULT_RULE, Conditions, Facts, Priority, Rule, first_match, strictest


def rule(
    name: str, priority: Priority = Priority.NORMAL, *, channels: tuple[str, ...] | None = None, **when: Any
) -> Rule:
    return Rule(name, Conditions(**when), priority, 1, 2, channels)


ANSWER = Facts("nps", 3, tier="Gold", touchpoint="support", channel="web", order_value=Decimal(100))
BARE = Facts("nps", 3)


class TestConditions:
    @pytest.mark.parametrize(
        ("when", "holds"),
        [
            ({}, True),
            ({"metric": "nps"}, True),
            ({"metric": "csat"}, False),
            ({"max_score": 3}, True),
            ({"max_score": 2}, False),
            ({"min_score": 3}, True),
            ({"min_score": 4}, False),
            ({"tiers": frozenset({"Gold", "Platinum"})}, True),
            ({"tiers": frozenset({"Silver"})}, False),
            ({"touchpoints": frozenset({"support"})}, True),
            ({"answer_channels": frozenset({"email"})}, False),
            ({"order_value_at_least": Decimal(100)}, True),
            ({"order_value_at_least": Decimal("100.01")}, False),
            ({"metric": "nps", "max_score": 2}, False),
        ],
    )
    def test_all_that_are_given_must_hold(self, when: dict[str, Any], holds: bool) -> None:
        assert Conditions(**when).hold(ANSWER) is holds

    @pytest.mark.parametrize(
        "when",
        [
            {"tiers": frozenset({"Gold"})},
            {"touchpoints": frozenset({"support"})},
            {"answer_channels": frozenset({"web"})},
            {"order_value_at_least": Decimal(0)},
        ],
    )
    def test_a_fact_that_is_not_there_matches_nothing(self, when: dict[str, Any]) -> None:
        assert not Conditions(**when).hold(BARE)


class TestRules:
    def test_the_first_match_wins(self) -> None:
        rules = (rule("a", max_score=2), rule("b"), rule("c"))
        assert first_match(rules, ANSWER).name == "b"

    def test_what_no_rule_matches_is_taken_by_the_default(self) -> None:
        assert first_match((rule("a", max_score=2),), ANSWER) is DEFAULT_RULE

    def test_of_several_scores_the_most_urgent_rule_counts_and_all_its_channels_are_told(self) -> None:
        rules = (
            rule("bad", Priority.URGENT, channels=("phone",), max_score=2),
            rule("meh", channels=("chat",), max_score=6),
        )
        for order in permutations([Facts("nps", 5), Facts("nps", 1)]):
            found = strictest(rules, order)
            assert (found.name, found.channels) == ("bad", ("phone", "chat"))

    def test_of_equally_urgent_ones_the_first_counts(self) -> None:
        rules = (rule("a", max_score=2), rule("b", max_score=4), rule("c"))
        for order in permutations([Facts("nps", 1), Facts("nps", 3), Facts("nps", 5)]):
            assert strictest(rules, order).name == "a"
