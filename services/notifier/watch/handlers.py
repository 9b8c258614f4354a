"""What is counted beside cases: the hours in which answers came, and each day's score of what is watched."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from datetime import tzinfo

from services.notifier.watch import store as intake
from services.notifier.watch import store as watching
from services.notifier.watch.domain import WatchPolicy
from services.notifier.watch.store import Told, key_of
from shared.db import Session
from shared.events import Received
from shared.events.responses import ResponseSubmitted
from shared.events.scores import ScoreChanged
from shared.feedback.nps import Counts
from shared.feedback.windows import local_day
from shared.kafka import Outcomes


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
        await intake.add(session, intake.by_hour(answers), shard)


class ScoreSamples:
    """Keeps the last figure of each local day of the scores that some rule watches."""

    def __init__(self, policies: Mapping[str, WatchPolicy], zones: Mapping[str, tzinfo]) -> None:
        self._rules = {store: policy.score_rules for store, policy in policies.items()}
        self._zones = zones

    async def apply(self, session: Session, batch: Sequence[Received]) -> Outcomes:
        told = {r.envelope.id: (r, self._sample(r.event)) for r in batch if isinstance(r.event, ScoreChanged)}
        watched = {i: (r, sample) for i, (r, sample) in told.items() if sample is not None}
        news = await watching.keep(session, (sample for _, sample in watched.values()))
        outcomes: Counter[tuple[str, str]] = Counter()
        for event_id, (received, _) in told.items():
            if event_id not in watched:
                outcomes[received.topic, "skipped"] += 1
                continue
            sample = watched[event_id][1]
            fresh = (sample.store, sample.key, sample.day, sample.seq) in news
            outcomes[received.topic, "ok" if fresh else "duplicate"] += 1
        return outcomes

    def _sample(self, event: ScoreChanged) -> Told | None:
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
        return Told(
            event.store,
            key_of(event.metric, event.policy, event.segment, event.touchpoint, event.window),
            local_day(event.as_of, self._zones[event.store]),
            event.seq,
            event.as_of,
            counts,
        )
