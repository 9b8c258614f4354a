import json
from itertools import permutations
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.feedback import (
    Z95,
    Band,
    Confidence,
    Counts,
    Group,
    band,
    confidence,
    group_of,
    round1,
    score,
    score_interval,
    wilson,
)
from shared.feedback.nps import adjusted_moments, moments

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())["scores"]
EMPTY = Counts()
some_counts = st.builds(Counts, *[st.integers(0, 500)] * 3)


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
class TestGoldenScores:
    def test_every_figure_agrees(self, case: dict[str, Any]) -> None:
        counts, within = Counts(*case["counts"]), 0.6 * 10.0 ** -case["digits"]
        assert score(counts) == pytest.approx(case["nps"], abs=within)
        variance = moments(*case["counts"]).var_of_mean * counts.n
        assert variance == pytest.approx(case["variance"], abs=within)
        half_width = 100 * Z95 * sqrt(adjusted_moments(counts).var_of_mean)
        assert half_width == pytest.approx(case["margin"], abs=within)
        if "score_interval" in case:
            assert score_interval(counts) == pytest.approx(case["score_interval"], abs=1e-5)


class TestScore:
    def test_is_in_points_and_never_a_share(self) -> None:
        assert score(Counts(3, 2, 1)) == pytest.approx(33.333333)

    def test_of_nothing_is_nothing(self) -> None:
        assert [f(EMPTY) for f in (score, score_interval)] == [None, None]

    def test_is_the_metric_of_all_answers_and_not_the_mean_of_daily_scores(self) -> None:
        days = [Counts(9, 0, 1), Counts(0, 1, 1), Counts(1, 0, 3)]
        assert score(sum(days, EMPTY)) == 31.25
        assert sum(score(day) or 0 for day in days) / 3 == pytest.approx(-6.67, abs=0.005)

    def test_does_not_depend_on_the_order_of_arrival(self) -> None:
        assert {
            score(Counts.of(group_of("nps", None, s) for s in order))
            for order in permutations((0, 6, 7, 9, 10))
        } == {0.0}

    def test_is_never_taken_from_rounded_percentages(self) -> None:
        assert round1(score(Counts(2, 0, 1)) or 0) == 33.3
        assert round1(score(Counts(1, 3, 2)) or 0) == -16.7

    def test_the_variance_keeps_the_covariance(self) -> None:
        assert 100 * sqrt(moments(250, 675, 75).var_of_mean) == pytest.approx(1.715, abs=0.01)

    @given(some_counts)
    def test_lies_in_its_range_like_the_interval(self, counts: Counts) -> None:
        if (value := score(counts)) is None:
            return
        lo, hi = score_interval(counts) or (0.0, 0.0)
        assert -100 <= lo <= value <= hi <= 100


class TestCounts:
    def test_a_retraction_takes_away_what_the_answer_gave(self) -> None:
        before = Counts(4, 2, 1)
        answer = Counts.of([Group.DETRACTOR])
        assert before + answer - answer == before
        assert Counts() - answer == Counts(0, 0, -1)

    def test_puts_each_group_in_its_place(self) -> None:
        groups = [Group.PROMOTER, Group.PROMOTER, Group.PASSIVE, Group.DETRACTOR]
        assert Counts.of(groups) == Counts(promoters=2, passives=1, detractors=1)


class TestBand:
    @pytest.mark.parametrize(
        ("nps", "expected"),
        [
            (100, Band.EXCELLENT),
            (50, Band.EXCELLENT),
            (49.99, Band.GOOD),
            (49, Band.GOOD),
            (0.01, Band.GOOD),
            (0, Band.POOR),
            (-0.01, Band.POOR),
            (-100, Band.POOR),
        ],
    )
    def test_leaves_no_gap_and_no_overlap(self, nps: float, expected: Band) -> None:
        assert band(nps) is expected


class TestConfidence:
    @pytest.mark.parametrize(
        ("n", "expected"),
        [(0, "low"), (1, "low"), (29, "low"), (30, "normal"), (1000, "normal")],
    )
    def test_grows_with_the_answers(self, n: int, expected: str) -> None:
        assert confidence(n) is Confidence(expected)

    def test_floors_are_the_stores_to_set(self) -> None:
        assert confidence(4, hide_below=5) is Confidence.SUPPRESSED
        assert confidence(0, hide_below=5) is Confidence.LOW
        assert confidence(30, normal_n=100) is Confidence.LOW


class TestRound1:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (-16.666666666666668, -16.7),
            (12.25, 12.3),
            (-12.25, -12.3),
            (12.35, 12.4),
            (0.05, 0.1),
            (2.675, 2.7),
            (99.95, 100.0),
            (1e-07, 0.0),
            (31.25, 31.3),
        ],
    )
    def test_goes_half_away_from_zero(self, value: float, shown: float) -> None:
        assert round1(value) == shown

    def test_shows_no_minus_before_zero(self) -> None:
        assert str(round1(-0.04)) == "0.0"

    @given(st.integers(1, 4000), st.data())
    def test_agrees_with_whole_number_arithmetic_on_the_counts(self, n: int, data: st.DataObject) -> None:
        net = data.draw(st.integers(-n, n))
        tenths = (2000 * abs(net) + n) // (2 * n) * (1 if net >= 0 else -1)
        counts = Counts(max(net, 0), n - abs(net), max(-net, 0))
        assert round1(score(counts) or 0.0) == tenths / 10


class TestWilson:
    def test_of_delighteds_csat(self) -> None:
        assert wilson(74, 107) == pytest.approx((59.87, 77.12), abs=0.005)

    def test_stays_within_nought_and_a_hundred_and_never_collapses(self) -> None:
        none, every = wilson(0, 10), wilson(10, 10)
        assert none is not None
        assert every is not None
        assert none.lo == 0 < none.hi
        assert every.lo < 100
        assert every.hi == pytest.approx(100)
        assert wilson(0, 0) is None
