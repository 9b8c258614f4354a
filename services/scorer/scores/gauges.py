"""The rolling scores that Prometheus sees: each store, and the segments that its configuration exports."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from services.scorer.counting.counter import AnswerCounter, StoreRules
from services.scorer.counting.domain.cuts import OTHER, UNKNOWN, only_dimension
from services.scorer.counting.store import series as series_store
from services.scorer.counting.store.series import Series
from services.scorer.scores.figure import figure_of
from services.scorer.scores.store import tallies
from services.scorer.scores.store.tallies import NOTHING, Connection, Tally
from shared.db import Database, asyncpg_connection
from shared.events.scores import Figure
from shared.feedback.metrics import Metric, scale_for
from shared.feedback.windows import parse_window, split
from shared.ops import metrics

MOST_VALUES = 20
ALL = "all"
_SEGMENTS_WINDOW = "30d"
_SCALES = [(metric.value, scale_for(metric).id) for metric in Metric]


class Labels(NamedTuple):
    """Those of the three gauges, in their order."""

    store: str
    metric: str
    dimension: str
    segment: str
    window: str


class ScoreGauges:
    """Counts by the store's default policy. The whole store has every declared window, a segment one.

    A dimension shows its first 20 declared values, of one that takes any value the 20 that came first; all
    others are counted together as `other`.
    """

    def __init__(
        self,
        database: Database,
        counter: AnswerCounter,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._stores = counter.stores
        self._series_ids = counter.series_ids
        self._clock = clock
        self._folded: set[tuple[str, str, str]] = set()

    async def measure(self) -> None:
        figures: dict[Labels, Figure] = {}
        for store, rules in self._stores.items():
            async with self._database.snapshot() as session:
                figures |= await self._of(await asyncpg_connection(session), store, rules)
        self.forget()
        for labels, figure in figures.items():
            if figure.n is not None:
                metrics.SCORE_SAMPLE.labels(*labels).set(figure.n)
            if figure.score is not None:
                metrics.SCORE.labels(*labels).set(figure.score)
            if figure.margin is not None:
                metrics.SCORE_MARGIN.labels(*labels).set(figure.margin)

    def forget(self) -> None:
        for gauge in (metrics.SCORE, metrics.SCORE_SAMPLE, metrics.SCORE_MARGIN):
            gauge.clear()

    async def _of(self, db: Connection, store: str, rules: StoreRules) -> dict[Labels, Figure]:
        known = await series_store.of_store(db, store, _SCALES, rules.config.metric_segments)
        whole = {
            id_: (series.metric, ALL, ALL)
            for id_, series in known
            if not (series.segment or series.touchpoint)
        }
        parts = self._parts(store, rules, known)
        shown = whole | parts
        reader = tallies.ScoreReader(
            db,
            store,
            list(shown),
            latest=rules.config.policy == "latest",
            confidential=await self._series_ids.confidential(
                db, {id_: series for id_, series in known if id_ in shown}
            ),
        )
        windows = tuple(dict.fromkeys(rules.config.windows))
        of_segments = _SEGMENTS_WINDOW if _SEGMENTS_WINDOW in windows else windows[0]
        now = self._clock()
        figures = {}
        for window in windows:
            counted = await reader.tallies(split(now, parse_window(window), rules.zone))
            sums: defaultdict[tuple[str, str, str], Tally] = defaultdict(lambda: NOTHING)
            for id_, cut in (shown if window == of_segments else whole).items():
                sums[cut] += counted[id_].tally
            for (metric, dimension, segment), tally in sums.items():
                labels = Labels(store, metric, dimension, segment, window)
                figures[labels] = figure_of(Metric(metric), tally, rules.config)
        return figures

    def _parts(
        self, store: str, rules: StoreRules, known: list[tuple[int, Series]]
    ) -> dict[int, tuple[str, str, str]]:
        """Metric, dimension and shown value of each series of an exported dimension."""
        exported = set(rules.config.metric_segments)
        values: dict[str, list[str]] = {}
        for name in exported:
            declared = rules.config.segments.get(name)
            values[name] = list((declared.values or ()) if declared else ())[:MOST_VALUES]
        cuts = {
            id_: (series.metric, cut)
            for id_, series in known
            if (cut := only_dimension(series.segment, series.touchpoint))
        }
        parts = {}
        for id_, (metric, (name, value)) in cuts.items():
            if name in exported:
                parts[id_] = (metric, name, self._shown_as(store, name, value, values[name]))
        return parts

    def _shown_as(self, store: str, name: str, value: str, allowed: list[str]) -> str:
        if value in (OTHER, UNKNOWN) or value in allowed:
            return value
        if len(allowed) < MOST_VALUES:
            allowed.append(value)
            return value
        if (store, name, value) not in self._folded:
            self._folded.add((store, name, value))
            metrics.LABEL_OVERFLOW.labels("closeloop_score", "segment").inc()
        return OTHER
