"""What the clock starts: scores are computed again when answers come or go, and published."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from services.scorer.counting import Counting, StoreRules
from services.scorer.figures import shown
from services.scorer.store import published, scores
from services.scorer.store.published import Due, Score
from services.scorer.store.scores import Connection, Counted
from shared.db import Session, driver
from shared.events.scores import Figure, ScoreChanged
from shared.feedback.metrics import Metric, scale_for
from shared.feedback.windows import parse_window, split, start_of_day
from shared.kafka import State

_AT_ONCE = 500


class PublishedScores:
    """The StateSource of `feedback.scores.v1`: each store's default policy over its declared windows.

    Only the default scale of a metric is published; the API computes the rest.
    """

    def __init__(self, counting: Counting, interval_seconds: float) -> None:
        self._stores = counting.stores
        self._interval = interval_seconds

    async def prepare(self, session: Session) -> None:
        """Compute the scores that may have changed, all as of one moment."""
        await session.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        db = await driver(session)
        now = datetime.now(UTC)
        found = await published.due(db, list(self._stores), self._interval, _AT_ONCE)
        by_store = groupby(sorted(found, key=lambda due: due.series), key=lambda due: due.series.store)
        for store, due in by_store:
            await self._compute(db, self._stores[store], list(due), now)

    async def _compute(self, db: Connection, rules: StoreRules, due: list[Due], now: datetime) -> None:
        store = due[0].series.store
        policy = rules.config.policy
        computed = []
        for window in rules.config.windows:
            length = parse_window(window)
            counted = await scores.tallies(
                db,
                store,
                [one.id for one in due],
                split(now, length, rules.zone),
                latest=policy == "latest",
            )
            computed += [
                Score(
                    id=(one.id, policy, window),
                    marks=one.marks,
                    expires_at=_expiry(counted[one.id], length, rules),
                    as_of=now,
                    figure=shown(Metric(one.series.metric), counted[one.id].tally, rules.config).body(),
                )
                for one in due
            ]
        await published.keep(db, computed)

    async def unpublished(self, session: Session, limit: int) -> list[State]:
        found = await published.unpublished(await driver(session), self._interval, limit)
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
            if one.series.scale == scale_for(one.series.metric).id
        ]

    async def published(self, session: Session, states: Sequence[State]) -> None:
        await published.mark_published(await driver(session), [(s.id, s.seq) for s in states])  # type: ignore[misc]

    async def unpublish(self, session: Session, states: Sequence[State]) -> None:
        await published.publish_again(await driver(session), [(s.id, s.seq) for s in states])  # type: ignore[misc]


def _expiry(counted: Counted, length: timedelta, rules: StoreRules) -> datetime | None:
    """When the window lets its oldest answer go; at the latest when the day of that answer becomes ragged."""
    if counted.first:
        return counted.first + length
    return start_of_day(counted.first_day, rules.zone) + length if counted.first_day else None
