"""How a batch is taken from the client while another is applied."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from shared.kafka import aiokafka_internals
from shared.kafka.consumer import BatchReader, FetchedBatch, FetcherDied, UnparsableRecord
from shared.kafka.gate import Gate
from shared.kafka.progress import Progress

TP = TopicPartition("t", 0)


class Client:
    """Holds so many records of one partition; its parser breaks at `bad`."""

    def __init__(self, records: int, bad: int = -1) -> None:
        self.waits: list[int] = []
        self._left = [SimpleNamespace(offset=offset, timestamp=0) for offset in range(records)]
        self._bad = bad
        self.ended = False

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        self.waits.append(timeout_ms)
        taken, self._left = self._left[:max_records], self._left[max_records:]
        if any(record.offset == self._bad for record in taken):
            raise ValueError("no UTF-8")
        return {TP: taken} if taken else {}


@pytest.fixture(autouse=True)
def fetcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client says itself whether its fetcher ended."""
    monkeypatch.setattr(aiokafka_internals, "fetcher_ended", lambda client: client.ended)


def opened() -> Gate:
    inbox: Any = SimpleNamespace(consumer="g")
    return Gate(None, inbox, open_at={TP: 0})  # type: ignore[arg-type]


def fetching(gate: Gate, read: Any = lambda record, follows, _: (record.offset, follows)) -> BatchReader:
    return BatchReader(gate, SimpleNamespace(read=read), Progress("g", ["t"]))  # type: ignore[arg-type]


async def taken(client: Client, gate: Gate, at_most: int = 1000) -> FetchedBatch:
    return await fetching(gate).read(client, at_most)


class TestABatch:
    async def test_holds_what_there_is_in_the_logs_order(self) -> None:
        batch = await taken(Client(100), opened())
        assert batch.items == [(offset, offset) for offset in range(100)]
        assert batch.taken == 100

    async def test_holds_no_more_than_it_may(self) -> None:
        assert (await taken(Client(100), opened(), at_most=50)).taken == 50

    async def test_waits_for_its_first_records_only(self) -> None:
        client = Client(100)
        await taken(client, opened())
        assert client.waits[0] > 0
        assert not any(client.waits[1:])

    async def test_lets_others_have_their_turn_while_it_is_decoded(self) -> None:
        seen: list[int] = []
        done: list[int] = []

        async def other() -> None:
            done.append(len(seen))

        waiting = asyncio.create_task(other())
        reading = fetching(opened(), lambda record, *_: seen.append(record.offset))
        await reading.read(Client(100), 1000)
        await waiting
        assert 0 < done[0] < 100

    async def test_does_not_follow_on_when_its_partition_closed_meanwhile(self) -> None:
        gate = opened()

        async def rebalance() -> None:
            gate.on_partitions_revoked([TP])

        waiting = asyncio.create_task(rebalance())
        batch = await taken(Client(100), gate)
        await waiting
        assert 0 < len(batch.items) < 100
        assert batch.generation != gate.generation

    async def test_says_when_the_parser_broke(self) -> None:
        with pytest.raises(UnparsableRecord):
            await taken(Client(100, bad=60), opened())

    async def test_says_when_the_client_died(self) -> None:
        client = Client(1)
        client.ended = True
        with pytest.raises(FetcherDied):
            await taken(client, opened())
