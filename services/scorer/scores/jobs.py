"""Scores are computed again when answers come or go, and published."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from services.scorer.counting.counter import Counting, StoreRules
from services.scorer.scores.figure import shown
from services.scorer.scores.store import hours, published, tallies
from services.scorer.scores.store.published import Due, Id, Promised, Score
from services.scorer.scores.store.tallies import Connection, Counted
from shared.db import Database, Session, driver
from shared.events.scores import Figure, ScoreChanged
from shared.feedback.metrics import Metric
from shared.feedback.windows import parse_window, split, start_of_day
from shared.jobs.rounds import LeasedClockJob
from shared.kafka import State
from shared.ops import metrics

_AT_ONCE = 500


def seldom(ring: Callable[[], None], seconds: float) -> Callable[[], None]:
    """The bell, silent for so long after each ring: under load every batch would start a round.

    What a silent ring would have told is found when the publisher looks by itself.
    """
    silent_until = 0.0

    def maybe() -> None:
        nonlocal silent_until
        if (now := time.monotonic()) >= silent_until:
            silent_until = now + seconds
            ring()

    return maybe


class PublishedScores:
    """The StateSource of `feedback.scores.v1`: each store's default policy over its declared windows.

    Only the default scale of a metric is published; the API computes the rest.
    """

    def __init__(
        self,
        counting: Counting,
        interval_seconds: float,
        *,
        busy_share: float = 0.1,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._stores = counting.stores
        self._interval = interval_seconds
        self._busy_share = busy_share
        self._clock = clock
        self._rest_until = 0.0
        self._tried: dict[Id, datetime] = {}
        """Since when each score is to be sent that was not acknowledged yet."""
        self._promised = [
            Promised(name, rules.config.policy, tuple(dict.fromkeys(rules.config.windows)))
            for name, rules in counting.stores.items()
        ]

    async def prepare(self, session: Session) -> None:
        """Compute the scores that may have changed, all as of one moment.

        It is asked after every batch of answers, and takes at most `busy_share` of the time.
        """
        started = time.monotonic()
        if started < self._rest_until:
            return
        await session.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        db = await driver(session)
        now = self._clock()
        found = await published.due(db, self._promised, now, self._interval, _AT_ONCE)
        by_store = groupby(sorted(found, key=lambda due: due.series), key=lambda due: due.series.store)
        for store, due in by_store:
            await self._compute(db, self._stores[store], list(due), now)
        ended = time.monotonic()
        self._rest_until = ended + (ended - started) * (1 / self._busy_share - 1)

    async def _compute(self, db: Connection, rules: StoreRules, due: list[Due], now: datetime) -> None:
        store = due[0].series.store
        policy = rules.config.policy
        computed = []
        reading = tallies.Reading(db, store, [one.id for one in due], latest=policy == "latest")
        coming = await reading.coming(now)
        for window in dict.fromkeys(rules.config.windows):
            length = parse_window(window)
            counted = await reading.tallies(split(now, length, rules.zone))
            computed += [
                Score(
                    id=(one.id, policy, window),
                    marks=one.marks,
                    expires_at=_expiry(counted[one.id], coming.get(one.id), length, rules),
                    as_of=now,
                    figure=shown(Metric(one.series.metric), counted[one.id].tally, rules.config).body(),
                )
                for one in due
            ]
        await published.keep(db, computed)

    async def unpublished(self, session: Session, limit: int) -> list[State]:
        db = await driver(session)
        found = await published.unpublished(db, self._interval, limit)
        self._measure(await published.waiting(db), [one.id for one in found])
        return [
            State(
                id=one.id,
                seq=one.seq,
                event=ScoreChanged(
                    store=one.series.store,
                    metric=one.series.metric,
                    policy=one.id[1],
                    segment=one.series.segment,
                    touchpoint=one.series.touchpoint,
                    window=one.id[2],
                    seq=one.seq,
                    as_of=one.as_of,
                    figure=Figure.model_validate(one.figure),
                    previous=Figure.model_validate(one.previous) if one.previous else None,
                ),
            )
            for one in found
        ]

    def _measure(self, waiting: int, due: Sequence[Id]) -> None:
        """What is due is sent in this round; what is due again was not acknowledged, and ages."""
        now = self._clock()
        self._tried = {one: self._tried.get(one, now) for one in due}
        metrics.OUTBOX_PENDING.set(waiting)
        metrics.OUTBOX_AGE.set((now - min(self._tried.values(), default=now)).total_seconds())

    async def published(self, session: Session, states: Sequence[State]) -> None:
        await published.mark_published(await driver(session), [(s.id, s.seq) for s in states])  # type: ignore[misc]
        sent = {state.id for state in states}
        self._tried = {one: since for one, since in self._tried.items() if one not in sent}

    async def unpublish(self, session: Session, states: Sequence[State]) -> None:
        await published.publish_again(await driver(session), [(s.id, s.seq) for s in states])  # type: ignore[misc]


def _expiry(
    counted: Counted, coming: datetime | None, length: timedelta, rules: StoreRules
) -> datetime | None:
    """When time alone changes the score: the window lets its oldest answer go (or the day of that answer
    becomes ragged), or reaches one that came with a time ahead of our clock."""
    first_of_day = start_of_day(counted.first_day, rules.zone) if counted.first_day else None
    leaving = [first + length for first in (counted.in_head, first_of_day, counted.in_tail) if first]
    return min([*leaving, *([coming] if coming else [])], default=None)


# Counts the hours that are over, one process at a time.

_HOURS_AT_ONCE = 24


class HourCounts(LeasedClockJob):
    """Keeps `scorer.hours` up with the answers, for at most a tenth of the time.

    A reader that finds an hour missing reads the answers.
    """

    def __init__(
        self,
        database: Database,
        *,
        settled_seconds: float = 60,
        idle_seconds: float = 30,
        worth_answers: int = 64,
    ) -> None:
        super().__init__(database, "scorer", "hours", every_seconds=idle_seconds, busy_share=0.1)
        self._settled = settled_seconds
        self._worth = worth_answers

    async def work(self) -> bool:
        return await self.count_some() == _HOURS_AT_ONCE

    async def count_some(self) -> int:
        """Count hours that changed and have been left alone for a while; returns how many there were."""
        async with self._database.transaction() as session:
            # What is due, its changes and its answers are seen at one moment.
            await session.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            db = await driver(session)
            found = await hours.due(db, settled_seconds=self._settled, limit=_HOURS_AT_ONCE)
            if found:
                await hours.count(db, found, worth=self._worth)
        return len(found)
