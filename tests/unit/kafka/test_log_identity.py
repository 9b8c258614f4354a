"""Whether a stored offset is one of the log that Kafka has."""

from uuid import UUID

import pytest

from shared.db import StoredPlace
from shared.kafka.log_identity import ADOPT, LogMismatch, fault_of

OLD, NEW = UUID(int=1), UUID(int=2)


def fault(
    stored: StoredPlace | None,
    *,
    now: UUID | None = OLD,
    others: frozenset[UUID] = frozenset(),
    first: int = 0,
    end: int = 100,
) -> str | None:
    return fault_of("t", 0, stored=stored, known=others, topic_id=now, first=first, end=end)


class TestAPartition:
    @pytest.mark.parametrize("offset", [0, 50, 100])
    def test_of_the_log_that_is_known_opens_anywhere_inside(self, offset: int) -> None:
        assert fault(StoredPlace(offset, OLD)) is None

    @pytest.mark.parametrize("offset", [0, 50, 100, 101])
    def test_of_another_log_never_opens(self, offset: int) -> None:
        assert "was made anew" in (fault(StoredPlace(offset, OLD), now=NEW) or "")

    @pytest.mark.parametrize(("offset", "first"), [(101, 0), (4, 5)])
    def test_with_an_offset_outside_of_its_log_does_not_open(self, offset: int, first: int) -> None:
        said = fault(StoredPlace(offset, OLD), first=first)
        assert said == f"t/0: the database is at offset {offset}, the log holds {first} to 100"

    def test_of_a_topic_that_is_gone_does_not_open(self) -> None:
        assert "is not there" in (fault(StoredPlace(5, OLD), now=None) or "")

    def test_that_was_never_read_opens_in_the_topics_log_only(self) -> None:
        assert fault(None) is None
        assert fault(None, others=frozenset({OLD})) is None
        assert "was made anew" in (fault(None, now=NEW, others=frozenset({OLD})) or "")


class TestAPlaceFromBeforeTheIds:
    def test_trusts_the_log_in_which_it_lies(self) -> None:
        assert fault(StoredPlace(7, None)) is None

    def test_does_not_trust_one_in_which_it_does_not_lie(self) -> None:
        assert fault(StoredPlace(101, None)) is not None

    def test_does_not_trust_one_that_another_partition_contradicts(self) -> None:
        assert "was made anew" in (fault(StoredPlace(7, None), now=NEW, others=frozenset({OLD})) or "")


def test_a_mismatch_says_every_fault_and_the_command() -> None:
    said = str(LogMismatch({"a": "a is gone", "b": "b was made anew"}))
    assert said.startswith("a is gone; b was made anew; ")
    assert ADOPT in said
