"""One answer from the set of its revisions."""

import random
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.cases.domain.answers import (
    Amended,
    Person,
    Retracted,
    Revision,
    Submitted,
    fold,
    opens,
)
from shared.feedback import InvalidScore

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)


def submitted(score: int = 2, event_id: str = "a", **given_: Any) -> Submitted:
    fields: dict[str, Any] = {"metric": "nps", "scale": "0-10", **given_}
    return Submitted(event_id, T0, T0, score=score, person=Person("c"), **fields)


def amended(event_id: str = "b", revision: int = 1, **given_: Any) -> Amended:
    return Amended(event_id, T0 + timedelta(minutes=1), revision, **given_)


class TestFold:
    def test_of_amendments_alone_is_nothing_yet(self) -> None:
        assert fold("r", [amended(score=1)]) is None

    def test_takes_each_field_from_the_highest_revision_that_has_it(self) -> None:
        answer = fold(
            "r",
            [
                submitted(9, comment="first"),
                amended("b", 2, comment="second"),
                amended("c", 3, score=7),
                amended("d", 1, score=1, comment="old"),
            ],
        )

        assert answer is not None
        assert (answer.score, answer.comment) == (7, "second")

    def test_breaks_ties_of_the_revision_by_the_event_id(self) -> None:
        answer = fold("r", [submitted(9), amended("z", 1, score=3), amended("y", 1, score=4)])
        assert answer is not None
        assert answer.score == 3

    def test_takes_the_original_with_the_lowest_id(self) -> None:
        answer = fold("r", [submitted(2, "z", comment="awful"), submitted(9, "a")])
        assert answer is not None
        assert (answer.score, answer.low_scores, answer.comments) == (9, (), ())

    def test_takes_no_change_that_is_meant_for_an_original_that_lost(self) -> None:
        lost = submitted(9, "z", fingerprint="lost")
        changes = [amended("b", 1, score=0, of="lost"), amended("c", 2, comment="rude", of="lost")]
        for order in permutations([submitted(9, "a", fingerprint="first"), lost, *changes]):
            answer = fold("r", order)
            assert answer is not None
            assert (answer.score, answer.low_scores, answer.comments) == (9, (), ())

    def test_remembers_every_low_score_and_when_the_first_came(self) -> None:
        answer = fold("r", [submitted(9), amended("b", 1, score=5), amended("c", 2, score=10)])
        assert answer is not None
        assert answer.low_scores == (5,)
        assert answer.low_since == T0 + timedelta(minutes=1)

    def test_ignores_an_amended_score_that_the_scale_lacks(self) -> None:
        answer = fold("r", [submitted(4, metric="csat", scale="1-5"), amended(score=9)])
        assert answer is not None
        assert answer.score == 4

    def test_refuses_an_original_that_no_scale_fits(self) -> None:
        with pytest.raises(InvalidScore):
            fold("r", [submitted(11)])

    @pytest.mark.parametrize(
        ("revisions", "seconds"),
        [
            ([submitted()], 0),
            ([submitted(complete=False)], 90),
            ([submitted(complete=False, comment="begun")], 90),
            ([submitted(complete=False), amended(comment="late")], 0),
            ([submitted(complete=False), amended(complete=True)], 0),
            ([submitted(complete=False), amended(score=3)], 90),
        ],
    )
    def test_says_how_long_its_alert_waits(self, revisions: list[Revision], seconds: int) -> None:
        answer = fold("r", revisions)
        assert answer is not None
        assert answer.alert_at == T0 + timedelta(seconds=seconds)

    @given(
        st.lists(
            st.builds(
                Amended,
                id=st.text("abcdef", min_size=1, max_size=3),
                received_at=st.just(T0),
                revision=st.integers(1, 3),
                score=st.none() | st.integers(-2, 12),
                comment=st.none() | st.sampled_from(["x", "y"]),
            ),
            max_size=6,
            unique_by=lambda amendment: amendment.id,
        ),
        st.randoms(),
    )
    def test_does_not_depend_on_order_or_repeats(
        self, amendments: list[Amended], chance: random.Random
    ) -> None:
        revisions: list[Revision] = [submitted(8, "0"), Retracted("1", T0), *amendments]
        shuffled = chance.sample(revisions, len(revisions)) + chance.choices(revisions, k=2)

        assert fold("r", shuffled) == fold("r", revisions)


class TestOpens:
    @pytest.mark.parametrize(
        ("age", "expected"),
        [(timedelta(0), True), (timedelta(hours=24), True), (timedelta(hours=24, seconds=1), False)],
    )
    def test_only_within_a_day(self, age: timedelta, expected: bool) -> None:
        fresh = opens(test=False, historical=False, identified=True, answered_at=T0 - age, received_at=T0)
        assert fresh is expected
