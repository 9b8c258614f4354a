import pytest

from shared.feedback import Group, InvalidScore, Polarity, UnknownScale, group_of, low, scale_for

D, N, P = Group.DETRACTOR, Group.PASSIVE, Group.PROMOTER

GROUPS = {
    ("nps", None): {**dict.fromkeys(range(7), D), 7: N, 8: N, 9: P, 10: P},
    ("enps", None): {**dict.fromkeys(range(7), D), 7: N, 8: N, 9: P, 10: P},
    ("enps", "1-5"): {1: D, 2: D, 3: D, 4: N, 5: P},
    ("csat", None): {1: D, 2: D, 3: N, 4: P, 5: P},
    ("csat", "1-7"): {1: D, 2: D, 3: D, 4: N, 5: N, 6: P, 7: P},
    ("ces", None): {1: D, 2: D, 3: D, 4: N, 5: P, 6: P, 7: P},
    ("ces", "1-5-effort"): {1: P, 2: P, 3: N, 4: D, 5: D},
}


class TestScale:
    @pytest.mark.parametrize(("metric", "scale_id"), GROUPS)
    def test_every_score_has_its_group(self, metric: str, scale_id: str | None) -> None:
        scale = scale_for(metric, scale_id)
        expected = GROUPS[metric, scale_id]
        assert {s: group_of(metric, scale_id, s) for s in range(scale.low, scale.high + 1)} == expected
        assert {s for s in range(-20, 20) if scale.is_valid(s)} == set(expected)
        assert {s for s in expected if low(metric, scale_id, s)} == {s for s in expected if expected[s] is D}

    @pytest.mark.parametrize("score", [-1, 11, 7.5, 9.0, None, "9", True, False])
    def test_only_an_integer_of_the_scale_is_a_score(self, score: object) -> None:
        assert not scale_for("nps").is_valid(score)
        with pytest.raises(InvalidScore, match=r"0\.\.10"):
            group_of("nps", None, score)

    @pytest.mark.parametrize(
        ("metric", "default"), [("nps", "0-10"), ("csat", "1-5"), ("ces", "1-7"), ("enps", "0-10")]
    )
    def test_a_metric_without_a_scale_takes_its_default(self, metric: str, default: str) -> None:
        assert scale_for(metric) is scale_for(metric, default)

    def test_an_unknown_scale_is_told_which_there_are(self) -> None:
        with pytest.raises(UnknownScale, match="1-7, 1-5-effort"):
            scale_for("ces", "1-5")
        with pytest.raises(UnknownScale, match="nps, csat, ces, enps"):
            scale_for("happiness", None)

    def test_a_group_is_its_weight_in_the_score(self) -> None:
        assert (int(P), int(N), int(D)) == (1, 0, -1)
        assert D < N < P


class TestEaseIndex:
    def test_is_the_same_for_both_polarities(self) -> None:
        ease, effort = scale_for("ces", "1-7"), scale_for("ces", "1-5-effort")
        assert (ease.polarity, effort.polarity) == (Polarity.EASE, Polarity.EFFORT)
        assert [ease.ease_index(s) for s in (1, 4, 7)] == [0, 50, 100]
        assert [effort.ease_index(s) for s in (1, 3, 5)] == [100, 50, 0]

    def test_takes_a_mean(self) -> None:
        counts = dict(zip(range(1, 8), (1, 2, 2, 6, 9, 20, 10), strict=True))
        mean = sum(s * c for s, c in counts.items()) / 50
        assert mean == 5.40
        assert scale_for("ces").ease_index(mean) == pytest.approx(73.33, abs=0.005)

    def test_of_the_effort_scale(self) -> None:
        counts = dict(zip(range(1, 6), (20, 10, 6, 3, 1), strict=True))
        mean = sum(s * c for s, c in counts.items()) / 40
        assert mean == 1.875
        assert scale_for("ces", "1-5-effort").ease_index(mean) == 78.125

    def test_is_only_for_ces_and_only_within_the_scale(self) -> None:
        with pytest.raises(UnknownScale):
            scale_for("csat").ease_index(4)
        with pytest.raises(InvalidScore):
            scale_for("ces").ease_index(8)
