"""Points and tiers as a fold of facts."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.segmenter.tiers.domain.loyalty import fold
from services.segmenter.tiers.domain.programme import EngagementKind, NpsEffect, Programme
from services.segmenter.tiers.domain.standing import Reason
from services.segmenter.tiers.domain.timeline import Answer, Case, Engagement, Fact, Order, Refund
from shared.feedback import Metric, group_of
from tests.unit.segmenter.tiers.domain.loyalty_facts import (
    PROGRAMME,
    ZONE,
    at,
    engage,
    grace_end,
    refund,
    spend,
    standing,
    story,
)


class TestWorkedHistories:
    """H1 to H7 of the specification, to the day and the point."""

    def test_h1_asha_climbs_then_stops(self) -> None:
        asha: list[Fact] = [spend("2024-01-10", 300), spend("2024-03-01", 250), spend("2024-06-15", 1000)]
        assert story(asha, "2026-12-31") == [
            ("2024-03-01", 550, "Bronze -> Silver", "upgrade"),
            ("2024-06-15", 1550, "Silver -> Gold", "upgrade"),
            ("2025-06-15", 0, "Gold -> Gold", "grace"),
            ("2025-08-14", 0, "Gold -> Silver", "soft_landing"),
            ("2026-08-14", 0, "Silver -> Silver", "grace"),
            ("2026-10-13", 0, "Silver -> Bronze", "soft_landing"),
        ]
        assert grace_end(standing(asha, "2025-07-01")) == "2025-08-14"

    def test_h2_ben_is_kept_below_what_he_entered_with(self) -> None:
        ben: list[Fact] = [spend("2024-02-01", 510), spend("2024-09-01", 430)]
        assert story(ben, "2025-12-31") == [
            ("2024-02-01", 510, "Bronze -> Silver", "upgrade"),
            ("2025-01-31", 430, "Silver -> Silver", "renewal"),
        ]

    def test_h3_chen_is_saved_in_grace(self) -> None:
        chen: list[Fact] = [spend("2024-01-15", 1600), spend("2024-11-01", 1100), spend("2025-02-05", 150)]
        assert story(chen, "2025-12-31") == [
            ("2024-01-15", 1600, "Bronze -> Gold", "upgrade"),
            ("2025-01-14", 1100, "Gold -> Gold", "grace"),
            ("2025-02-05", 1250, "Gold -> Gold", "renewal_in_grace"),
        ]
        assert grace_end(standing(chen, "2025-01-20")) == "2025-03-15"

    def test_h4_dee_returns_what_made_her_silver(self) -> None:
        dee: list[Fact] = [spend("2024-05-01", 600, name="o-1"), refund("2024-05-06", "o-1", 300)]
        assert story(dee, "2024-12-31") == [
            ("2024-05-01", 600, "Bronze -> Silver", "upgrade"),
            ("2024-05-06", 300, "Silver -> Bronze", "refund"),
        ]

    def test_h5_eli_is_held_while_his_case_is_fresh(self) -> None:
        eli: list[Fact] = [spend("2024-03-01", 550), Case("c-1", at("2025-04-20"), at("2025-05-10"))]
        assert story(eli, "2025-12-31") == [
            ("2024-03-01", 550, "Bronze -> Silver", "upgrade"),
            ("2025-03-01", 0, "Silver -> Silver", "grace"),
            ("2025-04-30", 0, "Silver -> Silver", "hold"),
            ("2025-06-09", 0, "Silver -> Bronze", "soft_landing"),
        ]
        assert grace_end(standing(eli, "2025-03-10")) == "2025-04-30"

    def test_h6_fay_lands_one_tier_down(self) -> None:
        fay: list[Fact] = [spend("2024-01-01", 4200), spend("2024-12-15", 100)]
        assert story(fay, "2025-12-31") == [
            ("2024-01-01", 4200, "Bronze -> Platinum", "upgrade"),
            ("2024-12-31", 100, "Platinum -> Platinum", "grace"),
            ("2025-03-01", 100, "Platinum -> Gold", "soft_landing"),
        ]

    def test_h7_gus_cannot_answer_his_way_up(self) -> None:
        gus: list[Fact] = [
            engage(EngagementKind.ANSWER, f"2024-01-{day:02}", f"e-{day}") for day in range(1, 31)
        ]
        gus += [spend("2024-01-31", 150), spend("2024-02-10", 50)]
        assert standing(gus, "2024-02-01").points == 450
        assert story(gus, "2024-12-31") == [("2024-02-10", 500, "Bronze -> Silver", "upgrade")]


class TestPoints:
    def test_are_the_same_for_a_nought_and_a_ten(self) -> None:
        points = {
            standing(
                [
                    Engagement.of_answer(
                        Answer("r-1", at("2026-01-01"), Metric.NPS, group_of("nps", None, score))
                    )
                ],
                "2026-01-02",
            ).points
            for score in (0, 10)
        }
        assert points == {20}

    def test_add_cents_up_before_they_are_cut(self) -> None:
        facts: list[Fact] = [spend("2026-01-01", 0, cents=50), spend("2026-01-02", 0, cents=149)]
        assert standing(facts, "2026-01-03").points == 1

    def test_follow_the_minor_units_of_the_currency(self) -> None:
        yen = Programme(currency="JPY", version="1", minor_per_point=1)
        assert standing([Order("o-1", at("2026-01-01"), 480, "JPY")], "2026-01-02", yen).points == 480

    def test_do_not_come_from_another_currency(self) -> None:
        assert standing([spend("2026-01-01", 600, currency="USD")], "2026-01-02").points == 0

    @pytest.mark.parametrize(
        ("kind", "worth"),
        [("answer", 20), ("event", 50), ("app_install", 50), ("review", 25), ("referral", 100)],
    )
    def test_by_kind_of_engagement(self, kind: str, worth: int) -> None:
        assert standing([engage(EngagementKind(kind), "2026-01-01")], "2026-01-02").points == worth

    def test_an_app_is_installed_once_for_ever(self) -> None:
        facts: list[Fact] = [
            engage(EngagementKind.APP_INSTALL, "2025-01-01", "e-1"),
            engage(EngagementKind.APP_INSTALL, "2025-06-01", "e-2"),
        ]
        assert standing(facts, "2025-07-01").points == 50
        assert standing(facts, "2026-01-02").points == 0

    def test_leave_at_the_midnight_on_which_they_are_a_window_old(self) -> None:
        order = spend("2025-11-22", 100)
        assert fold([order], PROGRAMME, ZONE, at("2026-11-22", 0) - timedelta(microseconds=1)).points == 100
        assert fold([order], PROGRAMME, ZONE, at("2026-11-22", 0)).points == 0

    def test_a_refund_waits_for_its_order(self) -> None:
        early = refund("2026-01-01", "o-1", 200)
        assert standing([early], "2026-02-01").points == 0
        assert standing([early, spend("2026-01-02", 600, name="o-1")], "2026-02-01").points == 400

    def test_a_refund_leaves_with_its_order(self) -> None:
        facts: list[Fact] = [spend("2025-01-01", 300, name="o-1"), refund("2025-12-01", "o-1", 100)]
        facts += [spend("2025-12-02", 50)]
        assert standing(facts, "2025-12-05").points == 250
        assert standing(facts, "2026-01-02").points == 50

    def test_a_refund_takes_nothing_from_another_order(self) -> None:
        facts: list[Fact] = [spend("2026-01-01", 100, name="o-1"), spend("2026-01-02", 70)]
        assert standing([*facts, refund("2026-01-03", "o-1", 500)], "2026-01-04").points == 70

    def test_are_never_rounded_up_over_a_threshold(self) -> None:
        almost = Order("o-1", at("2026-11-28"), Decimal("49999.99"), "EUR")
        assert standing([almost], "2026-11-29").points == 499
        assert standing([almost], "2026-11-29").tier == "Bronze"

    def test_of_fractions_are_those_of_their_exact_sum(self) -> None:
        thirds: list[Fact] = [
            Order(f"o-{n}", at(f"2026-11-2{n}"), Decimal("16666.67"), "EUR") for n in range(3)
        ]
        assert standing(thirds, "2026-11-29").points == 500
        order = Order("o-9", at("2026-11-28"), Decimal("50000.4"), "EUR")
        back = Refund("r-1", "o-9", at("2026-11-29"), Decimal("0.5"))
        assert standing([order, back], "2026-11-30").points == 499


class TestRefund:
    """Before the first renewal of the tier that the order gave: the whole of it, or a part."""

    ORDER = spend("2026-11-28", 500, name="o-1")

    def test_of_forty_cents_does_not_cost_the_tier(self) -> None:
        facts: list[Fact] = [self.ORDER, Refund("r-1", "o-1", at("2026-11-29"), 40)]
        found = standing(facts, "2026-11-30")
        assert (found.tier, found.points) == ("Silver", 499)
        assert [step.reason for step in found.history] == [Reason.UPGRADE]

    def test_of_a_part_keeps_the_tier_down_to_keep(self) -> None:
        assert standing([self.ORDER, refund("2026-11-29", "o-1", 100)], "2026-11-30").tier == "Silver"
        below: list[Fact] = [self.ORDER, Refund("r-1", "o-1", at("2026-11-29"), 10_001)]
        found = standing(below, "2026-11-30")
        assert (found.tier, found.points) == ("Bronze", 399)
        assert found.sentence == "A refund on the order that gave Silver leaves 399 points: Bronze."

    def test_of_a_part_goes_down_to_what_the_rest_keeps(self) -> None:
        facts: list[Fact] = [spend("2026-01-01", 4200, name="o-1"), refund("2026-01-02", "o-1", 2900)]
        assert story(facts, "2026-01-04")[-1][1:3] == (1300, "Platinum -> Gold")

    def test_of_the_whole_asks_for_what_it_takes_to_enter(self) -> None:
        facts: list[Fact] = [spend("2026-01-01", 450), spend("2026-01-02", 100, name="o-2")]
        part: list[Fact] = [*facts, refund("2026-01-03", "o-2", 60, "r-1")]
        assert standing(part, "2026-01-05").tier == "Silver"
        whole: list[Fact] = [*part, refund("2026-01-04", "o-2", 40, "r-2")]
        assert story(whole, "2026-01-05")[-1] == ("2026-01-04", 450, "Silver -> Bronze", "refund")

    def test_of_a_part_takes_no_grace_away(self) -> None:
        brief = replace(PROGRAMME, valid_days=30)
        facts: list[Fact] = [spend("2025-02-01", 300), spend("2026-01-20", 200, name="o-2")]
        facts += [refund("2026-02-25", "o-2", 1)]  # in grace since the first order left
        assert standing(facts, "2026-02-26", brief).tier == "Silver"

    def test_of_another_order_does_not_cost_the_tier(self) -> None:
        facts: list[Fact] = [spend("2026-01-01", 300, name="o-1"), spend("2026-01-02", 250, name="o-2")]
        assert standing([*facts, refund("2026-01-03", "o-1", 300)], "2026-01-04").tier == "Silver"
        assert standing([*facts, refund("2026-01-03", "o-2", 250)], "2026-01-04").tier == "Bronze"

    def test_that_leaves_enough_to_enter_changes_nothing(self) -> None:
        facts: list[Fact] = [spend("2026-01-01", 600, name="o-1"), refund("2026-01-02", "o-1", 100)]
        assert standing(facts, "2026-01-04").tier == "Silver"

    def test_piece_by_piece_climbs_all_the_way_down(self) -> None:
        facts: list[Fact] = [
            spend("2026-01-01", 2000, name="o-1"),
            refund("2026-01-02", "o-1", 1000, "r-1"),
            refund("2026-01-03", "o-1", 1000, "r-2"),
        ]
        assert [line[2] for line in story(facts, "2026-01-04")] == [
            "Bronze -> Gold",
            "Gold -> Silver",
            "Silver -> Bronze",
        ]

    def test_of_an_order_that_a_renewal_has_outlived_changes_nothing(self) -> None:
        facts: list[Fact] = [spend("2024-01-01", 600, name="o-1"), spend("2024-12-01", 450)]
        facts += [refund("2025-02-01", "o-1", 600)]
        assert standing(facts, "2025-02-02").tier == "Silver"


class TestHold:
    EXPIRED = spend("2024-03-01", 550)  # grace ends on 2025-04-30

    def test_ends_after_ninety_days_even_if_nobody_closes_the_case(self) -> None:
        facts: list[Fact] = [self.EXPIRED, Case("c-1", at("2025-04-20"))]
        assert story(facts, "2026-01-01")[-1] == ("2025-07-29", 0, "Silver -> Bronze", "soft_landing")
        held = standing(facts, "2025-05-15")
        assert held.reason is Reason.HOLD
        assert held.held_until == held.next_check == at("2025-07-29", 0)

    def test_is_not_for_the_case_of_a_content_customer(self) -> None:
        facts: list[Fact] = [self.EXPIRED, Case("c-1", at("2025-04-20"), detractor=False)]
        assert standing(facts, "2025-05-01").tier == "Bronze"

    def test_can_be_switched_off(self) -> None:
        strict = Programme(currency="EUR", version="1", nps_effect=NpsEffect.NONE)
        facts: list[Fact] = [self.EXPIRED, Case("c-1", at("2025-04-20"))]
        assert standing(facts, "2025-05-01", strict).tier == "Bronze"

    def test_lets_points_renew_the_tier_meanwhile(self) -> None:
        facts: list[Fact] = [self.EXPIRED, Case("c-1", at("2025-04-20")), spend("2025-06-01", 400)]
        assert story(facts, "2026-01-01")[-1][3] == "renewal_in_grace"
