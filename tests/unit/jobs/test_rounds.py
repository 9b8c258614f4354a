"""Rounds of work until they are asked to stop."""

import asyncio

from shared.jobs.rounds import RepeatedJob


class Counting(RepeatedJob):
    """Fails in the rounds of `fails`; after the first `more` it waits an hour, or for the bell."""

    def __init__(self, *, fails: tuple[int, ...] = (), more: int = 0) -> None:
        super().__init__("counting", every_seconds=3600)
        self.done = 0
        self.ended = False
        self._fails = fails
        self._more = more
        self._news = asyncio.Condition()

    async def round(self) -> float:
        async with self._news:
            self.done += 1
            self._news.notify_all()
        if self.done in self._fails:
            raise ConnectionRefusedError
        return 0.0 if self.done <= self._more else self.pause()

    def failed(self, failures: int) -> float:
        return 0.001 * failures

    async def end(self) -> None:
        self.ended = True

    async def until(self, rounds: int) -> None:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: self.done >= rounds)


async def stopped(rounds: Counting, task: "asyncio.Task[None]") -> None:
    await rounds.stop()
    async with asyncio.timeout(5):
        await task


class TestRounds:
    async def test_begin_at_once_and_stop_without_waiting_for_the_clock(self) -> None:
        rounds = Counting()
        task = asyncio.create_task(rounds.run())
        await rounds.until(1)
        await stopped(rounds, task)
        assert (rounds.done, rounds.ended) == (1, True)

    async def test_follow_one_another_while_there_is_more_to_do(self) -> None:
        rounds = Counting(more=3)
        task = asyncio.create_task(rounds.run())
        await rounds.until(4)
        await stopped(rounds, task)
        assert rounds.done == 4

    async def test_are_woken_by_the_bell(self) -> None:
        rounds = Counting()
        task = asyncio.create_task(rounds.run())
        await rounds.until(1)
        rounds.ring()
        await rounds.until(2)
        await stopped(rounds, task)

    async def test_go_on_after_some_that_failed(self) -> None:
        rounds = Counting(fails=(1, 2), more=2)
        task = asyncio.create_task(rounds.run())
        await rounds.until(3)
        await stopped(rounds, task)
        assert rounds.done == 3
