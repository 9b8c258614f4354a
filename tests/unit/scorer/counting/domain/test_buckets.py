"""The difference that a batch makes to the buckets."""

from collections import Counter
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.counting.domain.answer import Contribution
from services.scorer.counting.domain.buckets import BucketChanges, BucketDelta
from shared.feedback.metrics import Group

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NINE = Contribution((1, 2), DAY, Group.PROMOTER, 9, NOON, 0)
THREE = Contribution((1, 2), DAY, Group.DETRACTOR, 3, NOON, 0)


def after(*notes: tuple[Contribution | None, bool, Contribution | None, bool]) -> list[BucketDelta]:
    changes = BucketChanges()
    for note in notes:
        changes.note(*note)
    return changes.deltas()


class TestBucketChanges:
    def test_a_new_answer_counts_in_each_of_its_series(self) -> None:
        assert after((None, False, NINE, True)) == [
            BucketDelta(1, DAY, [0, 0, 1, 9], [0, 0, 1, 9]),
            BucketDelta(2, DAY, [0, 0, 1, 9], [0, 0, 1, 9]),
        ]

    def test_a_changed_score_leaves_one_group_and_joins_the_other(self) -> None:
        assert after((NINE, True, THREE, True))[0] == BucketDelta(1, DAY, [1, 0, -1, -6], [1, 0, -1, -6])

    def test_a_superseded_answer_leaves_only_the_policy_latest(self) -> None:
        assert after((NINE, True, NINE, False))[0] == BucketDelta(1, DAY, [0, 0, 0, 0], [0, 0, -1, -9])

    def test_a_change_within_a_group_moves_the_mean_alone(self) -> None:
        ten = NINE._replace(score=10)
        assert after((NINE, False, ten, False))[0] == BucketDelta(1, DAY, [0, 0, 0, 1], [0, 0, 0, 0])

    def test_a_score_of_zero_is_an_answer_all_the_same(self) -> None:
        zero = Contribution((1,), DAY, Group.DETRACTOR, 0, NOON, 0)
        assert after((None, False, zero, False)) == [BucketDelta(1, DAY, [1, 0, 0, 0], [0, 0, 0, 0])]

    def test_what_cancels_out_is_not_written(self) -> None:
        assert after((None, False, NINE, True), (NINE, True, None, False)) == []
        assert after((NINE, True, NINE, True)) == []

    def test_buckets_come_sorted_so_that_two_writers_never_wait_in_a_circle(self) -> None:
        notes = [
            (None, False, Contribution((series,), day, Group.PASSIVE, 7, NOON, 0), False)
            for series in (3, 1, 2)
            for day in (NEXT, DAY)
        ]
        keys = [(delta.series, delta.day) for delta in after(*notes)]
        assert keys == sorted(keys)


contributions = st.none() | st.builds(
    Contribution,
    st.sampled_from([(1,), (1, 2), (2, 3)]),
    st.sampled_from([DAY, NEXT]),
    st.sampled_from(Group),
    st.integers(0, 10),
    st.just(NOON),
    st.just(0),
)


@given(st.lists(st.tuples(contributions, st.booleans(), contributions, st.booleans()), max_size=12))
def test_the_deltas_are_what_counts_after_less_what_counted_before(
    notes: list[tuple[Contribution | None, bool, Contribution | None, bool]],
) -> None:
    expected: Counter[tuple[int, date, str, int]] = Counter()

    def add(one: Contribution | None, policy: str, sign: int) -> None:
        for series in one.series if one else ():
            assert one is not None
            expected[series, one.day, policy, one.group + 1] += sign
            expected[series, one.day, policy, 3] += sign * one.score

    for before, was, now, is_latest in notes:
        add(before, "every", -1)
        add(now, "every", 1)
        add(before if was else None, "latest", -1)
        add(now if is_latest else None, "latest", 1)
    found = {
        (delta.series, delta.day, policy, slot): value
        for delta in after(*notes)
        for policy, counts in (("every", delta.every), ("latest", delta.latest))
        for slot, value in enumerate(counts)
        if value
    }
    assert found == {key: value for key, value in expected.items() if value}
