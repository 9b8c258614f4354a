"""A batch of the producer: who may join it, and what its records hear."""

import asyncio
from collections.abc import Iterator

import pytest

from shared.kafka import NotAcknowledged
from shared.kafka.producer import Batch


@pytest.fixture
def loop() -> Iterator["Loop"]:
    loop = Loop()
    yield loop
    loop.close()


class Loop(asyncio.SelectorEventLoop):
    """A loop with a clock that the test sets."""

    now = 0.0

    def time(self) -> float:
        return self.now


def batch_of(loop: Loop, *, most_bytes: int = 1000) -> Batch:
    return Batch(("t", 0), loop, deadline_seconds=8, retry_seconds=5, most_bytes=most_bytes)


class TestABatch:
    def test_takes_no_record_once_half_of_its_time_is_over(self, loop: Loop) -> None:
        """A record that joins shares the deadline."""
        batch = batch_of(loop)
        assert batch.add(b"k", b"first", [])
        loop.now = 4.0
        assert batch.add(b"k", b"second", [])
        loop.now = 4.1
        assert batch.add(b"k", b"third", []) is None

    def test_takes_no_record_for_which_it_has_no_room(self, loop: Loop) -> None:
        batch = batch_of(loop, most_bytes=100)
        assert batch.add(b"k", b"x" * 20, [])
        assert batch.add(b"k", b"x" * 100, []) is None

    def test_takes_no_record_once_it_was_encoded(self, loop: Loop) -> None:
        batch = batch_of(loop)
        batch.add(b"k", b"first", [])
        content = batch.encoded()
        assert batch.add(b"k", b"second", []) is None
        assert batch.encoded() == content

    def test_tells_each_record_alone(self, loop: Loop) -> None:
        batch = batch_of(loop)
        gone, stays = batch.add(b"k", b"a", []), batch.add(b"k", b"b", [])
        assert gone
        assert stays
        gone.cancel()
        batch.failed("TimeoutError")
        assert gone.cancelled()
        assert isinstance(stays.exception(), NotAcknowledged)
