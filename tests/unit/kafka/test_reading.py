"""What a coordinator says of a group, read so that its silence is no news."""

import pytest
from aiokafka.errors import GroupLoadInProgressError, KafkaError
from aiokafka.protocol.commit import OffsetFetchResponse_v3 as Answer

from shared.kafka.reading import offsets_in

LOADING = 14
UNKNOWN = 3


class TestOffsets:
    def test_are_those_that_were_committed(self) -> None:
        answer = Answer(0, [("t", [(0, 5, "", 0), (1, -1, "", 0)]), ("u", [(0, 7, "", 0)])], 0)
        assert offsets_in(answer) == {("t", 0): 5, ("u", 0): 7}

    def test_of_a_coordinator_that_still_loads_are_not_none_at_all(self) -> None:
        with pytest.raises(GroupLoadInProgressError):
            offsets_in(Answer(0, [], LOADING))

    def test_of_a_partition_that_cannot_be_read_are_an_error(self) -> None:
        with pytest.raises(KafkaError):
            offsets_in(Answer(0, [("t", [(0, -1, "", UNKNOWN)])], 0))
