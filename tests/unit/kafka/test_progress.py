"""What Kafka is told of a consumer's place."""

from aiokafka import TopicPartition

from shared.kafka.progress import Progress


class Member:
    """A client with these partitions, as aiokafka's: it refuses to commit nothing."""

    def __init__(self, *partitions: int) -> None:
        self.partitions = set(partitions)
        self.told: list[dict[TopicPartition, int]] = []

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("t", partition) for partition in self.partitions}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.told.append(offsets)
        if not offsets:
            raise ValueError("offsets")


class TestCommitToKafka:
    async def test_says_nothing_of_no_partitions(self) -> None:
        progress, member = Progress("g", ["t"]), Member(0)
        progress.opened({TopicPartition("t", 0): 7})
        await progress.commit_to_kafka(member)
        member.partitions.clear()
        await progress.commit_to_kafka(member)
        assert member.told == [{TopicPartition("t", 0): 7}]
