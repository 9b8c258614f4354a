"""Which records of a poll the gate lets through."""

from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from shared.kafka.gate import Gate

TP = TopicPartition("topic", 0)


def gate_at(offset: int | None) -> Gate:
    """A gate with one partition: open at the offset, or still closed."""
    inbox: Any = SimpleNamespace(consumer="group")
    gate = Gate(None, inbox, open_at=None if offset is None else {TP: offset})  # type: ignore[arg-type]
    if offset is None:
        gate.on_partitions_assigned([TP])
    return gate


def polled(*offsets: int) -> dict[TopicPartition, list[Any]]:
    return {TP: [SimpleNamespace(offset=offset) for offset in offsets]}


def admitted(gate: Gate, *offsets: int) -> list[tuple[int, int]]:
    return [(record.offset, follows) for record, follows, _ in gate.admit(polled(*offsets))]


class TestAdmission:
    def test_of_a_closed_partition_is_refused(self) -> None:
        assert admitted(gate_at(None), 9, 10) == []

    def test_is_refused_below_the_stored_offset(self) -> None:
        assert admitted(gate_at(6), 4, 5, 6, 7) == [(6, 6), (7, 7)]

    def test_over_a_gap_expects_what_is_stored(self) -> None:
        gate = gate_at(6)

        assert admitted(gate, 6, 9) == [(6, 6), (9, 7)]
        assert admitted(gate, 12) == [(12, 10)]

    def test_ends_with_a_rebalance_and_with_a_failure(self) -> None:
        revoked, failed = gate_at(6), gate_at(6)
        before = revoked.generation
        revoked.on_partitions_revoked([TP])
        failed.close([TP])

        assert admitted(revoked, 6) == admitted(failed, 6) == []
        assert revoked.generation > before < failed.generation
