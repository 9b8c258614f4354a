"""What an adoption sets, and what it says is lost."""

from uuid import UUID

from cli.adopting import KnownLog, lost, starts, unlike_among
from shared.db import StoredPlace
from shared.events.topics import ERASURES, RESPONSES, SCORES
from shared.kafka.reading import LogExtent
from shared.kafka.topics import TopicState

OLD, NEW = UUID(int=1), UUID(int=2)


def known(topic: str, stored: StoredPlace, log: LogExtent, partition: int = 0) -> KnownLog:
    return KnownLog("scorer", topic, "a fault", partition, stored, stored.topic_id, log)


class TestTheNextOffsets:
    def test_of_a_log_that_was_made_anew_are_its_first_ones_in_all_partitions(self) -> None:
        log = LogExtent(NEW, first={0: 0, 1: 3}, end={0: 9, 1: 9})
        assert starts([StoredPlace(5, OLD), StoredPlace(5, OLD)], log, {0}) == {0: 0, 1: 3}

    def test_of_the_same_log_change_only_where_they_do_not_fit(self) -> None:
        log = LogExtent(OLD, first={0: 6, 1: 0}, end={0: 9, 1: 9})
        assert starts([StoredPlace(5, OLD), StoredPlace(5, OLD)], log, {0}) == {0: 6}


class TestWhatIsLost:
    def test_cannot_be_counted_in_a_log_that_is_gone(self) -> None:
        log = LogExtent(NEW, first={0: 0}, end={0: 9})
        (sentence,) = lost([known(RESPONSES.name, StoredPlace(5, OLD), log)])
        assert "nobody can know" in sentence

    def test_is_counted_where_records_expired(self) -> None:
        log = LogExtent(OLD, first={0: 8}, end={0: 9})
        (sentence,) = lost([known(RESPONSES.name, StoredPlace(5, OLD), log)])
        assert sentence == f"scorer: 3 records of {RESPONSES.name}/0 expired unread."

    def test_may_be_an_erasure(self) -> None:
        log = LogExtent(NEW, first={0: 0}, end={0: 9})
        assert "closeloop erase --wait" in lost([known(ERASURES.name, StoredPlace(5, OLD), log)])[-1]

    def test_is_nothing_where_nothing_differs(self) -> None:
        assert lost([]) == []


class TestATopicThatWasMadeByHand:
    def test_is_named_with_what_differs_and_the_command_that_shows_it(self) -> None:
        states = [
            TopicState(RESPONSES.name, 1, ("retention.ms=604800000",)),
            TopicState(ERASURES.name, 6),
        ]
        (sentence,) = unlike_among(states, {RESPONSES.name, ERASURES.name})
        assert sentence.startswith(
            f"{RESPONSES.name} is not as the product makes it: "
            "retention.ms=604800000, partitions=1 (others: 6)."
        )
        assert "`closeloop topics` shows it" in sentence

    def test_is_not_spoken_of_when_it_is_not_asked_for_or_missing(self) -> None:
        states = [TopicState(RESPONSES.name, 1), TopicState(ERASURES.name, 0), TopicState(SCORES.name, 6)]
        assert unlike_among(states, {ERASURES.name, SCORES.name}) == []
