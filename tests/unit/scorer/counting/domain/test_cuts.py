"""By what an answer is cut, and what may be asked for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.counting.domain.cuts import Cut, Cuts, tier_before

CUTS = Cuts(
    {"country": frozenset({"NL", "DE"}), "plan": None},
    frozenset({"support", "delivery"}),
    [("country", "touchpoint"), ("plan", "country"), ("tier", "touchpoint")],
)


def cut_of(segments: dict[str, str], touchpoint: str | None = None, tier: str | None = None) -> list[Cut]:
    return CUTS.of(CUTS.profile(segments, touchpoint, tier))


class TestOf:
    def test_every_dimension_alone_then_the_combinations(self) -> None:
        assert cut_of({"country": "NL", "plan": "pro"}, "support", "Gold") == [
            Cut("", ""),
            Cut("", "support"),
            Cut("tier:Gold", ""),
            Cut("country:NL", ""),
            Cut("plan:pro", ""),
            Cut("country:NL", "support"),
            Cut("country:NL,plan:pro", ""),
            Cut("tier:Gold", "support"),
        ]

    def test_what_is_missing_is_unknown(self) -> None:
        assert set(cut_of({})) == {
            Cut("", ""),
            Cut("", "unknown"),
            Cut("tier:unknown", ""),
            Cut("country:unknown", ""),
            Cut("plan:unknown", ""),
            Cut("country:unknown", "unknown"),
            Cut("country:unknown,plan:unknown", ""),
            Cut("tier:unknown", "unknown"),
        }

    def test_what_is_not_declared_is_other(self) -> None:
        found = cut_of({"country": "XX", "plan": "anything"}, "typo")
        assert Cut("country:other", "other") in found
        assert Cut("plan:anything", "") in found

    def test_a_dimension_that_is_not_declared_cuts_nothing(self) -> None:
        assert cut_of({"colour": "red", "tier": "Gold", "touchpoint": "support"}) == cut_of({})

    def test_a_combination_that_repeats_itself_or_another_counts_once(self) -> None:
        cuts = Cuts({"a": None, "b": None}, frozenset(), [("a", "a"), ("b", "a"), ("a", "b"), ("a",)])
        found = cuts.of(cuts.profile({"a": "1", "b": "2"}, None, None))
        assert len(found) == len(set(found)) == 6
        assert cuts.listing() == ["touchpoint:…", "tier:…", "a:…", "b:…", "b:… + a:…"]


class TestSpelling:
    def test_a_value_with_a_comma_is_not_two_segments(self) -> None:
        cuts = Cuts({"a": None, "b": None}, frozenset(), [("a", "b")])
        sly = cuts.of(cuts.profile({"a": "1,b:2"}, None, None))
        honest = cuts.of(cuts.profile({"a": "1", "b": "2"}, None, None))
        assert Cut("a:1,b:2", "") in honest
        assert Cut("a:1,b:2", "") not in sly
        assert Cut(r"a:1\,b:2", "") in sly

    @given(st.tuples(*[st.text(alphabet="a,:\\b", max_size=6)] * 4))
    def test_two_cuts_share_a_name_only_with_the_same_values(self, texts: tuple[str, ...]) -> None:
        cuts = Cuts({"a": None, "b": None}, frozenset(), [("a", "b")])
        one, two = {"a": texts[0], "b": texts[1]}, {"a": texts[2], "b": texts[3]}
        names_one = cuts.of(cuts.profile(one, None, None))[-3:]
        names_two = cuts.of(cuts.profile(two, None, None))[-3:]
        expected = [one["a"] == two["a"], one["b"] == two["b"], one == two]
        assert [a == b for a, b in zip(names_one, names_two, strict=True)] == expected
        assert len(set(names_one) | set(names_two)) == 6 - sum(expected)

    @given(st.text(max_size=8), st.text(max_size=8))
    def test_the_stored_name_asks_for_itself(self, a: str, b: str) -> None:
        cuts = Cuts({"a": None, "b": None}, frozenset(), [("a", "b")])
        for cut in cuts.of(cuts.profile({"a": a, "b": b}, None, "Gold")):
            assert cuts.declared(cut.segment, cut.touchpoint) == cut


class TestDeclared:
    @pytest.mark.parametrize(
        ("segment", "touchpoint", "found"),
        [
            ("", "", Cut("", "")),
            ("country:NL", "", Cut("country:NL", "")),
            ("country:unknown", "", Cut("country:unknown", "")),
            ("country:other", "support", Cut("country:other", "support")),
            ("plan:pro,country:NL", "", Cut("country:NL,plan:pro", "")),
            ("plan:a:b", "", Cut("plan:a:b", "")),
            (r"plan:a\,b", "", Cut(r"plan:a\,b", "")),
            (r"plan:a\\", "", Cut(r"plan:a\\", "")),
            ("tier:Gold", "delivery", Cut("tier:Gold", "delivery")),
        ],
    )
    def test_in_its_stored_spelling(self, segment: str, touchpoint: str, found: Cut) -> None:
        assert CUTS.declared(segment, touchpoint) == found

    @pytest.mark.parametrize(
        ("segment", "touchpoint"),
        [
            ("country:XX", ""),
            ("colour:red", ""),
            ("country", ""),
            ("country:NL,country:DE", ""),
            ("touchpoint:support", ""),
            ("tier:", ""),
            ("plan:pro", "support"),
            ("country:NL,", ""),
            (",country:NL", ""),
            ("country:NL\\", ""),
            (",", ""),
            ("", "typo"),
        ],
    )
    def test_the_rest_is_not(self, segment: str, touchpoint: str) -> None:
        assert CUTS.declared(segment, touchpoint) is None

    def test_the_list_says_what_there_is(self) -> None:
        assert CUTS.listing() == [
            "touchpoint:delivery|support",
            "tier:…",
            "country:DE|NL",
            "plan:…",
            "country:DE|NL + touchpoint:delivery|support",
            "plan:… + country:DE|NL",
            "tier:… + touchpoint:delivery|support",
        ]


class TestDeclaredTiers:
    CUTS = Cuts({}, frozenset(), tiers=frozenset({"Bronze", "Gold"}))

    @pytest.mark.parametrize("value", ["Gold", "unknown"])
    def test_are_found(self, value: str) -> None:
        assert self.CUTS.declared(f"tier:{value}", "") == Cut(f"tier:{value}", "")

    @pytest.mark.parametrize("value", ["gold", "Tin", "other", ""])
    def test_others_are_not(self, value: str) -> None:
        assert self.CUTS.declared(f"tier:{value}", "") is None

    def test_are_listed(self) -> None:
        assert "tier:Bronze|Gold" in self.CUTS.listing()


class TestTierBefore:
    NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
    SPELLS = ((NOON - timedelta(days=9), "Bronze"), (NOON, "Silver"), (NOON + timedelta(days=9), "Gold"))

    @pytest.mark.parametrize(
        ("moment", "tier"),
        [
            (NOON - timedelta(days=10), None),
            (NOON - timedelta(days=9), None),
            (NOON - timedelta(days=9) + timedelta(microseconds=1), "Bronze"),
            (NOON, "Bronze"),
            (NOON + timedelta(microseconds=1), "Silver"),
            (NOON + timedelta(days=99), "Gold"),
        ],
    )
    def test_strictly_before_the_moment(self, moment: datetime, tier: str | None) -> None:
        assert tier_before(self.SPELLS, moment) == tier

    def test_nothing_is_known_of_a_stranger(self) -> None:
        assert tier_before([], self.NOON) is None
