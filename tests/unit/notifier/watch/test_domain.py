"""When a fall is told, when it is over, and what silence is."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.notifier.watch.domain import (
    Compared,
    FallChange,
    Sample,
    ScoreRule,
    SilenceRule,
    disjoint,
    fall_changes,
    silent,
    usual,
    usual_hours,
)
from shared.feedback.metrics import Metric
from shared.feedback.nps import Counts

NOW = datetime(2026, 11, 26, 13, 32, tzinfo=UTC)
MONTH = timedelta(days=30)
RULE = ScoreRule("falls", Metric.NPS, "30d", MONTH, frozenset({"*"}), frozenset({""}), 5, None)

THIRD_QUARTER = Counts(700, 150, 150)
FIRST_QUARTER = Counts(600, 250, 150)


def beside(before: Counts, now: Counts, *, fall_told: bool = False, key: str = "k") -> Compared:
    return Compared(key, Sample(NOW - MONTH, before), Sample(NOW, now), fall_told)


def turn(
    before: Counts, now: Counts, *, fall_told: bool = False, rule: ScoreRule = RULE
) -> FallChange | None:
    return fall_changes(rule, [beside(before, now, fall_told=fall_told)]).get("k")


class TestAFall:
    def test_is_told_when_it_is_more_than_noise(self) -> None:
        # T3 of the domain's table, backwards: -10 points, p = 0.0026.
        assert turn(THIRD_QUARTER, FIRST_QUARTER) is FallChange.FELL

    def test_of_the_same_points_with_fewer_answers_is_noise(self) -> None:
        # T1 and T2: p = 0.35 and 0.057.
        assert turn(Counts(70, 15, 15), Counts(60, 25, 15)) is None
        assert turn(Counts(280, 60, 60), Counts(240, 100, 60)) is None

    def test_between_one_and_five_percent_is_borderline_and_not_told(self) -> None:
        # T5 in size: p = 0.048.
        assert turn(Counts(40, 5, 5), Counts(30, 10, 10)) is None

    def test_needs_thirty_answers_on_both_sides(self) -> None:
        assert turn(Counts(29, 0, 0), Counts(0, 0, 100)) is None
        assert turn(Counts(100, 0, 0), Counts(0, 0, 29)) is None
        assert turn(Counts(100, 0, 0), Counts(0, 0, 30)) is FallChange.FELL

    def test_is_not_a_rise(self) -> None:
        assert turn(FIRST_QUARTER, THIRD_QUARTER) is None

    def test_of_too_few_points_is_not_told_however_sure_it_is(self) -> None:
        before, now = Counts(52_000, 24_000, 24_000), Counts(50_000, 24_000, 26_000)
        assert turn(before, now) is None
        assert turn(before, Counts(49_000, 24_000, 27_000)) is FallChange.FELL

    def test_that_was_told_is_not_told_again_and_is_over_only_when_it_is(self) -> None:
        assert turn(THIRD_QUARTER, FIRST_QUARTER, fall_told=True) is None
        # Still p < 0.05, though not told anew at that: between the two nothing changes.
        assert turn(Counts(40, 5, 5), Counts(30, 10, 10), fall_told=True) is None
        assert turn(Counts(70, 15, 15), Counts(60, 25, 15), fall_told=True) is FallChange.OVER
        assert turn(FIRST_QUARTER, THIRD_QUARTER, fall_told=True) is FallChange.OVER

    def test_stays_told_while_there_are_too_few_to_say(self) -> None:
        assert turn(Counts(20, 0, 0), Counts(0, 0, 20), fall_told=True) is None

    def test_among_many_segments_must_stand_among_all_of_them(self) -> None:
        # p = 0.0099 alone is told; among 200 that moved by noise it is one of those to be expected.
        one = beside(Counts(62, 20, 18), Counts(44, 20, 36), key="suspect")
        noise = [beside(Counts(50, 25, 25), Counts(51, 24, 25), key=f"n{i}") for i in range(2000)]
        assert fall_changes(RULE, [one]) == {"suspect": FallChange.FELL}
        assert fall_changes(RULE, [one, *noise]) == {}


class TestWindows:
    @pytest.mark.parametrize(
        ("apart", "fit"),
        [(29.99, False), (30, True), (45, True), (60, True), (60.01, False)],
    )
    def test_that_overlap_are_never_compared(self, apart: float, fit: bool) -> None:
        before = Sample(NOW - timedelta(days=apart), Counts())
        assert disjoint(Sample(NOW, Counts()), before, MONTH) is fit


class TestARule:
    @pytest.mark.parametrize(
        ("segments", "segment", "watched"),
        [
            ({""}, "", True),
            ({""}, "country:NL", False),
            ({"country:NL"}, "country:NL", True),
            ({"country:NL"}, "country:DE", False),
            ({"*"}, "country:DE", True),
            ({"*"}, "", False),
            ({"", "*"}, "", True),
        ],
    )
    def test_names_its_segments(self, segments: set[str], segment: str, watched: bool) -> None:
        rule = ScoreRule("r", Metric.NPS, "30d", MONTH, frozenset(segments), frozenset({""}), 5, None)
        assert rule.watches(metric="nps", window="30d", segment=segment, touchpoint="") is watched
        assert not rule.watches(metric="csat", window="30d", segment=segment, touchpoint="")
        assert not rule.watches(metric="nps", window="7d", segment=segment, touchpoint="")


class TestSilence:
    RULE = SilenceRule("quiet", (), hours=6, usual_at_least=5, channels=None)

    @pytest.mark.parametrize(
        ("hours_ago", "usually", "is_silent"),
        [(6, 5, True), (5.99, 50, False), (30, 4.9, False), (30, 5, True)],
    )
    def test_is_none_where_there_usually_are_some(
        self, hours_ago: float, usually: float, is_silent: bool
    ) -> None:
        assert silent(self.RULE, NOW - timedelta(hours=hours_ago), usually, NOW) is is_silent

    def test_is_not_a_store_that_never_had_an_answer(self) -> None:
        assert not silent(self.RULE, None, 100, NOW)

    def test_usual_is_the_median_so_that_no_single_week_decides(self) -> None:
        assert usual([0, 12, 14, 1000]) == 13
        assert usual([0, 0, 0, 4000]) == 0

    def test_the_same_hours_are_those_on_the_wall(self) -> None:
        # Thursday 29 October, 10:30 in Amsterdam, four days after the clocks went back.
        now = datetime(2026, 10, 29, 9, 30, tzinfo=UTC)
        spans = usual_hours(now, 6, ZoneInfo("Europe/Amsterdam"))
        assert spans[0] == (datetime(2026, 10, 22, 2, tzinfo=UTC), datetime(2026, 10, 22, 8, tzinfo=UTC))
        assert len(spans) == 4
        assert spans[3][1] == datetime(2026, 10, 1, 8, tzinfo=UTC)
