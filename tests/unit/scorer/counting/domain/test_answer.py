"""One answer from its events: any order, any repeats, the same end."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.counting.domain.answer import Answer, Body, Outcome
from shared.feedback.revisions import Revision, revisions

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def body(
    ce_id: str = "ce-1",
    fingerprint: str = "",
    *,
    score: int = 9,
    at: datetime = NOON,
    metric: str = "nps",
    scale: str = "0-10",
    test: bool = False,
    respondent: str | None = "asha",
) -> Body:
    return Body(
        ce_id=ce_id,
        fingerprint=fingerprint or f"f-{ce_id}",
        metric=metric,
        scale=scale,
        score=score,
        answered_at=at,
        respondent=respondent,
        test=test,
        touchpoint=None,
        segments={},
        channel="web",
        received_at=at,
        raw=b"{}",
    )


Step = tuple[str, Any]


def submitted(b: Body) -> Step:
    return "submit", b


def amended(number: int, ce_id: str, **changes: Any) -> Step:
    return "amend", changed(number, ce_id, **changes)


def changed(number: int, ce_id: str, **changes: Any) -> tuple[Revision, ...]:
    return tuple(revisions(changes, number=number, ce_id=ce_id))


RETRACTED: Step = ("retract", None)


def told(steps: list[Step] | tuple[Step, ...]) -> Answer:
    """The answer after these steps, stored and read again after each, as separate batches would."""
    answer = Answer("shop", "r-1")
    for kind, what in steps:
        match kind:
            case "submit":
                answer.submit(what)
            case "amend":
                answer.amend(what)
            case "retract":
                answer.retract()
        answer.new_rivals = ()
    return answer


def end(answer: Answer) -> tuple[Any, ...]:
    return answer.body, answer.amended, answer.retracted, answer.rivals, answer.score, answer.counts


class TestSubmit:
    def test_the_first_body_is_the_answer(self) -> None:
        answer = Answer("shop", "r-1")
        assert answer.submit(body()) is Outcome.OK
        assert (answer.score, answer.counts, answer.changed) == (9, True, True)

    def test_a_repeat_changes_nothing(self) -> None:
        answer = told([submitted(body())])
        answer.changed = False
        assert answer.submit(body()) is Outcome.DUPLICATE
        assert not answer.changed
        assert not answer.new_rivals

    def test_a_repeat_under_a_lower_envelope_is_kept_and_no_conflict(self) -> None:
        answer = told([submitted(body("ce-2", "same"))])
        answer.changed = False
        assert answer.submit(body("ce-1", "same", at=NOON - timedelta(seconds=2))) is Outcome.DUPLICATE
        assert answer.changed
        assert answer.body is not None
        assert answer.body.answered_at == NOON - timedelta(seconds=2)
        assert not answer.rivals

    def test_the_lowest_envelope_wins_and_the_other_is_a_conflict(self) -> None:
        for order in permutations([body("ce-1", score=3), body("ce-2", score=9)]):
            answer = Answer("shop", "r-1")
            outcomes = [answer.submit(one) for one in order]
            assert outcomes == [Outcome.OK, Outcome.CONFLICT]
            assert (answer.score, answer.rivals) == (3, {"f-ce-2"})
            assert [rival.ce_id for rival in answer.new_rivals] == ["ce-2"]

    def test_a_rival_that_comes_again_is_no_second_conflict(self) -> None:
        answer = told([submitted(body("ce-1")), submitted(body("ce-2"))])
        assert answer.submit(body("ce-2")) is Outcome.DUPLICATE
        assert answer.submit(body("ce-9", "f-ce-2")) is Outcome.DUPLICATE
        assert answer.rivals == {"f-ce-2"}

    def test_a_rival_whose_earlier_copy_arrives_last_wins_after_all(self) -> None:
        answer = told([submitted(body("ce-5", "x", score=1)), submitted(body("ce-3", "y", score=5))])
        assert answer.rivals == {"x"}
        answer.submit(body("ce-1", "x", score=1))
        assert (answer.score, answer.rivals) == (1, {"y"})


class TestAmend:
    def test_the_highest_revision_of_each_field_stands(self) -> None:
        steps = [
            submitted(body()),
            amended(1, "a", score=4, comment="one"),
            amended(3, "b", score=6),
            amended(2, "c", score=5, comment="two"),
        ]
        for order in permutations(steps):
            answer = told(order)
            assert answer.score == 6
            assert answer.amended["comment"].value == "two"

    def test_equal_revisions_are_told_apart_by_their_envelopes(self) -> None:
        for order in permutations([submitted(body()), amended(1, "a", score=4), amended(1, "b", score=5)]):
            assert told(order).score == 5

    def test_before_its_original_it_counts_nowhere(self) -> None:
        answer = told([amended(1, "a", score=4)])
        assert (answer.body, answer.score, answer.counts) == (None, None, False)

    @pytest.mark.parametrize("wrong", [11, -1, 7.5, "9", True, None])
    def test_a_score_that_is_not_of_the_scale_leaves_the_one_submitted(self, wrong: object) -> None:
        assert told([submitted(body(score=8)), amended(1, "a", score=wrong)]).score == 8

    def test_a_score_of_another_scale_is_judged_by_the_scale_of_the_body(self) -> None:
        steps = [amended(1, "a", score=9), submitted(body(metric="csat", scale="1-5", score=2))]
        assert told(steps).score == 2
        assert told(steps).refused == 1

    def test_an_impossible_score_is_refused_and_hides_no_earlier_one(self) -> None:
        steps = [
            submitted(body(metric="csat", scale="1-5", score=2)),
            amended(1, "a", score=4),
            amended(1, "b", score=9),
        ]
        for order in permutations(steps):
            assert (told(order).score, told(order).refused) == (4, 1)
        assert told(steps[:2]).amend(changed(1, "b", score=9)) is Outcome.REFUSED

    def test_a_repeat_is_a_duplicate(self) -> None:
        answer = told([submitted(body()), amended(2, "a", score=4)])
        answer.changed = False
        assert answer.amend(changed(2, "a", score=4)) is Outcome.DUPLICATE
        assert answer.amend(changed(1, "z", score=1)) is Outcome.DUPLICATE
        assert not answer.changed


class TestRetract:
    def test_is_final_in_every_order(self) -> None:
        for order in permutations([submitted(body()), amended(1, "a", score=4), RETRACTED]):
            answer = told(order)
            assert (answer.retracted, answer.counts, answer.score) == (True, False, 4)

    def test_a_second_one_changes_nothing(self) -> None:
        answer = told([RETRACTED])
        answer.changed = False
        assert answer.retract() is Outcome.DUPLICATE
        assert not answer.changed


class TestTests:
    def test_are_kept_and_never_count(self) -> None:
        assert not told([submitted(body(test=True))]).counts


bodies = st.builds(
    lambda number, name: submitted(body(f"ce-{number}", f"f{name}", score=(number * 7 + name) % 11)),
    st.integers(0, 9),
    st.integers(0, 3),
)
amendments = st.builds(
    lambda number, ce, score: amended(number, f"am-{number}-{ce}", score=(score if ce else 99)),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(0, 0),
)


@given(st.lists(st.one_of(bodies, amendments, st.just(RETRACTED)), max_size=8), st.data())
def test_any_order_with_any_repeats_ends_the_same(steps: list[Step], data: st.DataObject) -> None:
    # One envelope carries one body.
    seen: dict[Any, Step] = {}
    steps = [
        seen.setdefault((kind, what.ce_id if kind == "submit" else id(what)), (kind, what))
        for kind, what in steps
    ]
    repeats = data.draw(st.lists(st.sampled_from(steps), max_size=4)) if steps else []
    shuffled = data.draw(st.permutations([*steps, *repeats]))
    assert end(told(shuffled)) == end(told(steps))
