"""Rules as data: the first match wins."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from services.notifier.cases.domain.answers import Answer, PastAnswer, Person, Submitted, fall, fold
from services.notifier.cases.domain.case import Priority
from services.notifier.cases.domain.rules import (
    DEFAULT_RULE,
    Conditions,
    Rule,
    RuleInput,
    first_match,
    groups_beyond_low,
    strictest,
)
from shared.feedback.metrics import Group

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)


def rule(
    name: str, priority: Priority = Priority.NORMAL, *, channels: tuple[str, ...] | None = None, **when: Any
) -> Rule:
    return Rule(name, Conditions(**when), priority, 1, 2, channels)


ANSWER = RuleInput("nps", 3, tier="Gold", touchpoint="support", channel="web", order_value=Decimal(100))
BARE = RuleInput("nps", 3)


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
            {"fell_by": 1},
            {"tags": frozenset({"vip"})},
            {"risk": frozenset({"high"})},
            {"themes": frozenset({"delivery"})},
            {"words": frozenset({"late"})},
            {"wants_contact": True},
        ],
    )
    def test_a_fact_that_is_not_there_matches_nothing(self, when: dict[str, Any]) -> None:
        assert not Conditions(**when).hold(BARE)


class TestWords:
    @pytest.mark.parametrize(
        ("words", "comment", "holds"),
        [
            ({"refund"}, "I want a REFUND, now", True),
            ({"refund"}, "refunds are slow", False),
            ({"refund", "broken"}, "It was broken.", True),
            ({"money back"}, "My money  back please", True),
            ({"c++"}, "I love c++!", True),
            ({"straße"}, "In der STRASSE", True),
            ({"late"}, "", False),
        ],
    )
    def test_are_whole_words_in_any_case(self, words: set[str], comment: str, holds: bool) -> None:
        facts = replace(BARE, comments=(comment,))
        assert Conditions(words=frozenset(words)).hold(facts) is holds

    def test_count_in_every_revision_of_the_comment(self) -> None:
        facts = replace(BARE, comments=("all fine", "broken"))
        assert Conditions(words=frozenset({"broken"})).hold(facts)


class TestMoreFacts:
    @pytest.mark.parametrize(
        ("when", "holds"),
        [
            ({"fell_by": 3}, True),
            ({"fell_by": 4}, False),
            ({"tags": frozenset({"vip", "press"})}, True),
            ({"tags": frozenset({"press"})}, False),
            ({"risk": frozenset({"high"})}, True),
            ({"risk": frozenset({"low"})}, False),
            ({"wants_contact": True}, True),
            ({"wants_contact": False}, False),
            ({"themes": frozenset({"delivery"})}, True),
        ],
    )
    def test_are_asked_like_the_others(self, when: dict[str, Any], holds: bool) -> None:
        facts = replace(
            BARE,
            fell_by=3,
            tags=frozenset({"vip"}),
            risk="high",
            wants_contact=True,
            themes=frozenset({"delivery"}),
        )
        assert Conditions(**when).hold(facts) is holds


class TestBetterAnswers:
    PASSIVE = RuleInput("nps", 8, group=Group.PASSIVE)

    def test_open_nothing_by_themselves(self) -> None:
        assert first_match((rule("a"),), self.PASSIVE) is None
        assert strictest((rule("a"),), [self.PASSIVE]) is None

    def test_open_a_case_by_a_rule_that_names_their_group(self) -> None:
        rules = (rule("p", groups=frozenset({Group.PASSIVE})),)
        found = strictest(rules, [self.PASSIVE])
        assert found is not None
        assert found.name == "p"
        assert groups_beyond_low(rules) == {Group.PASSIVE}


class TestTheFall:
    @pytest.mark.parametrize(
        ("metric", "scale", "score", "expected"),
        [("nps", "0-10", 4, 5), ("nps", "0-10", 10, -1), ("csat", "1-5", 2, None), ("nps", "0-10", 9, 0)],
    )
    def test_is_against_the_last_answer_on_the_same_scale(
        self, metric: str, scale: str, score: int, expected: int | None
    ) -> None:
        assert fall(self._answer(metric, scale, score), score, self.KNOWN) == expected

    def test_on_a_scale_where_high_is_bad_is_a_rise(self) -> None:
        known = [PastAnswer("a", "ces", "1-5-effort", 2, Group.PROMOTER, T0)]
        assert fall(self._answer("ces", "1-5-effort", 5), 5, known) == 3

    KNOWN = (
        PastAnswer("a", "nps", "0-10", 2, Group.DETRACTOR, T0 - timedelta(days=9)),
        PastAnswer("b", "nps", "0-10", 9, Group.PROMOTER, T0 - timedelta(days=1)),
        PastAnswer("later", "nps", "0-10", 7, Group.PASSIVE, T0 + timedelta(days=1)),
        PastAnswer("r", "nps", "0-10", 5, Group.DETRACTOR, T0),
    )

    def _answer(self, metric: str, scale: str, score: int) -> Answer:
        found = fold("r", [Submitted("e", T0, T0, metric, scale, score, Person("c"))])
        assert found
        return found


class TestPleaseContactMe:
    @pytest.mark.parametrize(
        ("question", "value", "wants"),
        [
            ("contact_me", True, True),
            ("wants_contact", "Yes", True),
            ("contact_me", "no", False),
            ("contact_me", False, False),
            ("contact_me", 1, False),
            ("reason", True, False),
        ],
    )
    def test_is_a_follow_up_that_was_answered_with_yes(
        self, question: str, value: object, wants: bool
    ) -> None:
        body = Submitted("e", T0, T0, "nps", "0-10", 9, Person("c"), follow_ups=((question, value),))
        found = fold("r", [body])
        assert found is not None
        assert found.wants_contact is wants


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
        for order in permutations([RuleInput("nps", 5), RuleInput("nps", 1)]):
            found = strictest(rules, order)
            assert (found.name, found.channels) == ("bad", ("phone", "chat"))

    def test_of_equally_urgent_ones_the_first_counts(self) -> None:
        rules = (rule("a", max_score=2), rule("b", max_score=4), rule("c"))
        for order in permutations([RuleInput("nps", 1), RuleInput("nps", 3), RuleInput("nps", 5)]):
            assert strictest(rules, order).name == "a"
