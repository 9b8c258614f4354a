"""The jobs of the scores: computing and publishing those that changed, and counting hours that are over."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from services.scorer.counting.counter import AnswerCounter, StoreRules
from services.scorer.scores.figure import figure_of, rules_of
from services.scorer.scores.store import hours, published, tallies
from services.scorer.scores.store.published import ChangedSeries, Id, Publication, Score
from services.scorer.scores.store.tallies import Connection, Counted
from shared.db import Database, Session, asyncpg_connection
from shared.events.scores import Figure, ScoreChanged
from shared.feedback.metrics import Metric
from shared.feedback.windows import parse_window, split, start_of_day
from shared.jobs.rounds import LeasedClockJob
from shared.kafka import State
from shared.ops import metrics

_AT_ONCE = 500


def at_most_every(ring: Callable[[], None], seconds: float) -> Callable[[], None]:
    """A bell that rings at most once in so many seconds: under load every batch would start a round.

    What a ring that was left out would have announced, the publisher finds when it looks by itself.
    """
    silent_until = 0.0

    def ring_rarely() -> None:
        nonlocal silent_until
        if (now := time.monotonic()) >= silent_until:
            silent_until = now + seconds
            ring()

    return ring_rarely


class ScoreSource:
    """The StateSource of `feedback.scores.v1`: each store's default policy over its declared windows.

    Only the default scale of a metric is published; the API computes the rest.
    """

    def __init__(
        self,
        counter: AnswerCounter,
        interval_seconds: float,
        *,
        busy_share: float = 0.1,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._stores = counter.stores
        self._series_ids = counter.series_ids
        self._interval = interval_seconds
        self._busy_share = busy_share
        self._clock = clock
        self._rest_until = 0.0
        self._tried: dict[Id, datetime] = {}
        """Since when each score waits that was sent and not acknowledged yet."""
        self._publications = [
            Publication(
                name,
                rules.config.policy,
                tuple(dict.fromkeys(rules.config.windows)),
                metric,
                rules_of(metric, rules.config),
            )
            for name, rules in counter.stores.items()
            for metric in Metric
        ]

    async def prepare(self, session: Session) -> None:
        """Compute the scores that may have changed, all as of one moment.

        It is asked after every batch of answers, and takes at most `busy_share` of the time.
        """
        started = time.monotonic()
        if started < self._rest_until:
            return
        await session.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        db = await asyncpg_connection(session)
        now = self._clock()
        changed = await published.changed_series(db, self._publications, now, self._interval, _AT_ONCE)
        by_store = groupby(
            sorted(changed, key=lambda change: change.series), key=lambda change: change.series.store
        )
        for store, changes in by_store:
            await self._compute(db, self._stores[store], list(changes), now)
        ended = time.monotonic()
        self._rest_until = ended + (ended - started) * (1 / self._busy_share - 1)

    async def _compute(
        self, db: Connection, rules: StoreRules, changed: list[ChangedSeries], now: datetime
    ) -> None:
        store = changed[0].series.store
        policy = rules.config.policy
        computed = []
        reader = tallies.ScoreReader(
            db,
            store,
            [change.id for change in changed],
            latest=policy == "latest",
            confidential=await self._series_ids.confidential(
                db, {change.id: change.series for change in changed}
            ),
        )
        coming = await reader.coming(now)
        for window in dict.fromkeys(rules.config.windows):
            length = parse_window(window)
            counted = await reader.tallies(split(now, length, rules.zone))
            computed += [
                Score(
                    id=(change.id, policy, window),
                    marks=change.marks,
                    expires_at=_expiry(counted[change.id], coming.get(change.id), length, rules),
                    as_of=now,
                    rules=rules_of(Metric(change.series.metric), rules.config),
                    figure=figure_of(
                        Metric(change.series.metric), counted[change.id].tally, rules.config
                    ).body(),
                )
                for change in changed
            ]
        await published.save_scores(db, computed)

    async def unpublished(self, session: Session, limit: int) -> list[State]:
        db = await asyncpg_connection(session)
        scores = await published.unpublished(db, self._interval, limit)
        self._measure(await published.backlog(db), [score.id for score in scores])
        return [
            State(
                id=score.id,
                seq=score.seq,
                event=ScoreChanged(
                    store=score.series.store,
                    metric=score.series.metric,
                    policy=score.id[1],
                    segment=score.series.segment,
                    touchpoint=score.series.touchpoint,
                    window=score.id[2],
                    seq=score.seq,
                    as_of=score.as_of,
                    figure=Figure.model_validate(score.figure),
                    previous=Figure.model_validate(score.previous) if score.previous else None,
                ),
            )
            for score in scores
        ]

    def _measure(self, waiting: int, due: Sequence[Id]) -> None:
        """Export how many scores wait, and for how long the oldest of those that are sent in this round.

        A score that is sent again was not acknowledged: its age goes on from the first time.
        """
        now = self._clock()
        self._tried = {score: self._tried.get(score, now) for score in due}
        metrics.OUTBOX_PENDING.set(waiting)
        metrics.OUTBOX_AGE.set((now - min(self._tried.values(), default=now)).total_seconds())

    async def published(self, session: Session, states: Sequence[State]) -> None:
        await published.mark_published(await asyncpg_connection(session), [(s.id, s.seq) for s in states])  # type: ignore[misc]
        sent = {state.id for state in states}
        self._tried = {score: since for score, since in self._tried.items() if score not in sent}

    async def unpublish(self, session: Session, states: Sequence[State]) -> None:
        await published.publish_again(await asyncpg_connection(session), [(s.id, s.seq) for s in states])  # type: ignore[misc]


def _expiry(
    counted: Counted, coming: datetime | None, length: timedelta, rules: StoreRules
) -> datetime | None:
    """When time alone changes the score: the window lets its oldest answer go (or the day of that answer
    becomes ragged), or reaches one that came with a time ahead of our clock."""
    first_of_day = start_of_day(counted.first_day, rules.zone) if counted.first_day else None
    leaving = [first + length for first in (counted.in_head, first_of_day, counted.in_tail) if first]
    return min([*leaving, *([coming] if coming else [])], default=None)


_HOURS_AT_ONCE = 24


class HourCounter(LeasedClockJob):
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
            db = await asyncpg_connection(session)
            changed = await hours.changed_hours(db, settled_seconds=self._settled, limit=_HOURS_AT_ONCE)
            if changed:
                await hours.count_hours(db, changed, worth=self._worth)
        return len(changed)
