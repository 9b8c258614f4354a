"""Counting the hours in which answers came, and keeping each day's figures of the scores that are watched."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from datetime import tzinfo

from services.notifier.watch import store
from services.notifier.watch.domain import WatchPolicy
from services.notifier.watch.store import ScoreSample, key_of
from shared.db import Session
from shared.events import Received
from shared.events.responses import ResponseSubmitted
from shared.events.scores import ScoreChanged
from shared.feedback.nps import Counts
from shared.feedback.windows import local_day
from shared.kafka import OutcomeCounts


async def count_arrivals(session: Session, batch: Sequence[Received], stores: Container[str]) -> None:
    """Count the answers of a batch by the hour in which they reached us; not tests, not imports.

    Called last in the transaction, since the rows of an hour are those that everybody writes.
    """
    answers = [
        (r.event.store, r.event.touchpoint or "", r.event.received_at)
        for r in batch
        if isinstance(r.event, ResponseSubmitted)
        and not (r.event.test or r.event.historical)
        and r.event.store in stores
    ]
    if answers:
        shard = min(received.partition for received in batch)
        await store.add_arrivals(session, store.by_hour(answers), shard)


class ScoreSamples:
    """Keeps the last figure of each local day of the scores that some rule watches."""

    def __init__(self, policies: Mapping[str, WatchPolicy], zones: Mapping[str, tzinfo]) -> None:
        self._rules = {store: policy.score_rules for store, policy in policies.items()}
        self._zones = zones

    async def apply(self, session: Session, batch: Sequence[Received]) -> OutcomeCounts:
        by_id = {
            r.envelope.id: (r, self._sample(r.event)) for r in batch if isinstance(r.event, ScoreChanged)
        }
        scores = by_id.values()
        stored = await store.keep_samples(session, (sample for _, sample in scores if sample))
        outcomes: Counter[tuple[str, str]] = Counter()
        for received, sample in scores:
            if sample is None:
                outcomes[received.topic, "skipped"] += 1
                continue
            is_new = (sample.store, sample.key, sample.day, sample.seq) in stored
            outcomes[received.topic, "ok" if is_new else "duplicate"] += 1
        return outcomes

    def _sample(self, event: ScoreChanged) -> ScoreSample | None:
        """None for a score that no rule watches."""
        if not any(
            rule.watches(
                metric=event.metric,
                window=event.window,
                segment=event.segment,
                touchpoint=event.touchpoint,
            )
            for rule in self._rules.get(event.store, ())
        ):
            return None
        figure = event.figure
        counts = None
        if figure.promoters is not None and figure.passives is not None and figure.detractors is not None:
            counts = Counts(figure.promoters, figure.passives, figure.detractors)
        return ScoreSample(
            event.store,
            key_of(event.metric, event.policy, event.segment, event.touchpoint, event.window),
            local_day(event.as_of, self._zones[event.store]),
            event.seq,
            event.as_of,
            counts,
        )
