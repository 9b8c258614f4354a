"""The publisher's source tells how many scores wait, and for how long Kafka has not taken one."""

from datetime import datetime, timedelta

from prometheus_client import REGISTRY

from services.scorer.scores.jobs import ScoreSource
from shared.kafka import State
from tests.integration.scorer.builders import NOON, Shop, answer


class Backlog:
    """A publisher of one shop, without Kafka, whose present is `now`."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.now: datetime = NOON
        self.source = ScoreSource(shop.counter, 0, busy_share=1.0, clock=lambda: self.now)

    async def tried(self, seconds: float = 0) -> list[State]:
        """What a round would send, so many seconds later."""
        self.now += timedelta(seconds=seconds)
        async with self.shop.database.transaction() as session:
            await self.source.prepare(session)
        async with self.shop.database.transaction() as session:
            return await self.source.unpublished(session, 10_000)

    async def acknowledged(self, states: list[State]) -> None:
        async with self.shop.database.transaction() as session:
            await self.source.published(session, states)


def shown() -> tuple[float | None, float | None]:
    """(how many wait, the age of the oldest in seconds)"""
    return (
        REGISTRY.get_sample_value("closeloop_outbox_pending_records"),
        REGISTRY.get_sample_value("closeloop_outbox_oldest_pending_age_seconds"),
    )


async def test_ages_while_kafka_takes_nothing_also_when_the_score_moves_on(shop: Shop) -> None:
    backlog = Backlog(shop)
    await backlog.acknowledged(await backlog.tried())  # what other tests left
    await shop.send(answer("a", 9))
    first = await backlog.tried()
    assert shown() == (len(first), 0)

    await shop.send(answer("b", 3))
    await backlog.tried(seconds=100)
    assert shown() == (len(first), 100)

    await backlog.acknowledged(await backlog.tried(seconds=50))
    assert await backlog.tried(seconds=1) == []
    assert shown() == (0, 0)


async def test_begins_anew_once_the_score_was_taken(shop: Shop) -> None:
    backlog = Backlog(shop)
    await backlog.acknowledged(await backlog.tried())
    await shop.send(answer("a", 9))
    await backlog.acknowledged(await backlog.tried())
    await shop.send(answer("b", 3))
    await backlog.tried(seconds=100)
    assert shown()[1] == 0
