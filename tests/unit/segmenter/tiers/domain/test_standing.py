"""What a customer's standing says, what an override does to it, and what a programme may be."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.segmenter.tiers.domain.loyalty import fold
from services.segmenter.tiers.domain.programme import EngagementKind, Programme, Tier
from services.segmenter.tiers.domain.standing import Reason, sentence
from services.segmenter.tiers.domain.timeline import Case, Fact, Order, Override
from tests.unit.segmenter.tiers.domain.loyalty_facts import (
    PROGRAMME,
    ZONE,
    at,
    engage,
    refund,
    spend,
    standing,
    story,
)


class TestOverride:
    GOLD = Override("Gold", at("2026-03-01"), "goodwill", at("2026-01-10"), "agent-1")

    def test_wins_until_its_end(self) -> None:
        assert story([self.GOLD], "2026-04-01") == [
            ("2026-01-10", 0, "Bronze -> Gold", "override"),
            ("2026-03-01", 0, "Gold -> Bronze", "override_end"),
        ]
        during = standing([self.GOLD], "2026-02-01")
        assert (during.tier, during.earned_tier) == ("Gold", "Bronze")
        assert during.override_until == during.next_check == at("2026-03-01")

    def test_hides_what_is_earned_underneath(self) -> None:
        facts: list[Fact] = [self.GOLD, spend("2026-02-01", 600)]
        assert story(facts, "2026-04-01")[-1] == ("2026-03-01", 600, "Gold -> Silver", "override_end")

    def test_can_hold_a_customer_down(self) -> None:
        facts: list[Fact] = [
            spend("2026-01-01", 600),
            Override("Bronze", at("2026-02-01"), "abuse", at("2026-01-10"), "m"),
        ]
        assert standing(facts, "2026-01-20").tier == "Bronze"
        assert standing(facts, "2026-02-02").tier == "Silver"

    def test_that_ends_when_a_tier_lapses_lets_the_grace_be_seen(self) -> None:
        until_expiry = Override("Gold", at("2026-01-01", 0), "goodwill", at("2025-06-01"), "agent-1")
        assert [line[3] for line in story([spend("2025-01-01", 600), until_expiry], "2026-01-02")] == [
            "upgrade",
            "override",
            "override_end",
            "grace",
        ]

    def test_says_when_it_ends_to_the_second(self) -> None:
        end = at("2026-03-01", 0) + timedelta(minutes=14, seconds=59)
        step = standing([replace(self.GOLD, until=end)], "2026-02-01").history[0]
        assert (step.ends_at, step.until) == (end, end.date())
        assert sentence(step, PROGRAMME) == "Gold was set by hand, until 2026-03-01 00:14:59."
        at_midnight = standing([replace(self.GOLD, until=at("2026-03-01", 0))], "2026-02-01").history[0]
        assert sentence(at_midnight, PROGRAMME) == "Gold was set by hand, until 2026-03-01."

    def test_is_taken_back_by_one_that_ends_at_once(self) -> None:
        back = Override("Gold", at("2026-01-20"), "mistake", at("2026-01-20"), "agent-1")
        assert standing([self.GOLD, back], "2026-01-21").tier == "Bronze"

    def test_is_replaced_by_a_later_one(self) -> None:
        later = Override("Silver", at("2026-02-01"), "less", at("2026-01-20"), "agent-1")
        assert [line[2] for line in story([self.GOLD, later], "2026-04-01")] == [
            "Bronze -> Gold",
            "Gold -> Silver",
            "Silver -> Bronze",
        ]

    def test_to_a_tier_that_is_no_more_is_void(self) -> None:
        gone = Override("Diamond", at("2026-03-01"), "old", at("2026-01-10"), "agent-1")
        assert standing([gone], "2026-02-01").tier == "Bronze"


class TestStanding:
    def test_of_nobody_is_the_base(self) -> None:
        found = standing([], "2026-01-01")
        assert (found.tier, found.points, found.reason) == ("Bronze", 0, Reason.BASE)
        assert (found.next_tier, found.points_to_next, found.points_to_keep) == ("Silver", 500, None)
        assert (found.since, found.next_check, found.history) == (None, None, ())
        assert found.sentence == "Bronze, where everybody starts."

    def test_says_what_is_missing_upwards_and_to_stay(self) -> None:
        found = standing([spend("2026-01-01", 200), spend("2026-03-01", 350)], "2026-06-01")
        assert (found.tier, found.since) == ("Silver", at("2026-03-01"))
        assert (found.next_tier, found.points_to_next) == ("Gold", 950)
        # On 2027-03-01 both orders will have lapsed.
        assert (found.points_to_keep, found.expires_at) == (400, at("2027-03-01", 0))
        assert found.next_check == found.expires_at
        assert found.sentence == "550 points reach the 500 of Silver, until 2027-03-01."

    def test_in_grace_counts_what_is_there_today(self) -> None:
        found = standing([spend("2024-01-15", 1600), spend("2024-11-01", 1100)], "2025-01-20")
        assert (found.points_to_keep, found.expires_at) == (100, None)
        assert found.next_check == found.grace_until == at("2025-03-15", 0)
        assert found.sentence == "1100 points do not keep Gold: 100 more are needed before 2025-03-15."

    @pytest.mark.parametrize(("euros", "then"), [(400, "renewal"), (399, "grace")])
    def test_is_kept_by_exactly_as_many_points_as_it_takes(self, euros: int, then: str) -> None:
        facts: list[Fact] = [spend("2025-01-01", 500), spend("2025-06-01", euros)]
        assert story(facts, "2026-01-02")[-1][3] == then

    def test_at_the_top_has_nothing_above(self) -> None:
        found = standing([spend("2026-01-01", 9000)], "2026-01-02")
        assert (found.tier, found.next_tier, found.points_to_next) == ("Platinum", None, None)

    def test_at_midnight_time_comes_before_the_facts(self) -> None:
        facts: list[Fact] = [spend("2025-01-01", 600), Order("o-2", at("2026-01-01", 0), 45_000, "EUR")]
        assert story(facts, "2026-01-02")[1:] == [
            ("2026-01-01", 0, "Silver -> Silver", "grace"),
            ("2026-01-01", 450, "Silver -> Silver", "renewal_in_grace"),
        ]

    def test_carries_the_instant_of_the_spending_and_the_midnight_of_time(self) -> None:
        steps = standing([Order("o-1", at("2025-01-01", 15), 60_000, "EUR")], "2026-12-01").history
        assert [step.at for step in steps] == [
            at("2025-01-01", 15),
            at("2026-01-01", 0),
            at("2026-03-02", 0),
        ]
        assert all(step.at.tzinfo is UTC for step in steps)
        assert {step.rule_version for step in steps} == {"2026-01"}

    def test_wakes_for_a_fact_that_is_still_ahead(self) -> None:
        ahead = spend("2026-01-02", 600)
        found = standing([ahead], "2026-01-01")
        assert (found.tier, found.points, found.next_check) == ("Bronze", 0, ahead.at)

    def test_does_not_depend_on_order_or_repetition(self) -> None:
        facts: list[Fact] = [
            spend("2024-01-15", 1600, name="o-1"),
            refund("2024-01-15", "o-1", 200),
            engage(EngagementKind.REVIEW, "2024-01-15"),
            Case("c-1", at("2025-01-20"), at("2025-03-01")),
            Override("Platinum", at("2024-09-01"), "vip", at("2024-08-01"), "m"),
            spend("2025-02-05", 150),
        ]
        expected = standing(facts, "2026-01-01")
        for seed in range(50):
            shuffled = random.Random(seed).sample([*facts, *facts], k=12)
            assert standing(shuffled, "2026-01-01") == expected

    def test_refuses_a_time_without_a_zone(self) -> None:
        naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
        with pytest.raises(ValueError, match="time zone"):
            fold([], PROGRAMME, ZONE, naive)
        with pytest.raises(ValueError, match="time zone"):
            standing([Order("o-1", naive, 1, "EUR")], "2026-01-01")


class TestProgramme:
    @pytest.mark.parametrize(
        ("tiers", "complaint"),
        [
            ((), "base"),
            ((Tier("Silver", 500, 400),), "base"),
            ((Tier("A", 0, 0), Tier("B", 0, 0)), "more points than A"),
            ((Tier("A", 0, 0), Tier("B", 100, 120)), "B must be kept"),
            ((Tier("A", 0, 0), Tier("A", 100, 80)), "same name"),
        ],
    )
    def test_must_climb(self, tiers: tuple[Tier, ...], complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            Programme(currency="EUR", version="1", tiers=tiers)

    @pytest.mark.parametrize("days", [{"window_days": 0}, {"valid_days": 0}, {"grace_days": -1}])
    def test_must_have_days_that_make_sense(self, days: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="must"):
            Programme("EUR", "1", **days)  # type: ignore[arg-type]
