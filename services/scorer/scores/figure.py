"""The figure of one score as everybody gets it: by the API, as an event, and as a gauge."""

from services.scorer.scores.store.tallies import Tally
from shared.config import Store
from shared.events.scores import Figure
from shared.feedback.figures import summary
from shared.feedback.metrics import Metric
from shared.feedback.nps import round1


def figure_of(metric: Metric, tally: Tally, store: Store) -> Figure:
    """Counts, score, margin and interval, rounded once to one decimal.

    With fewer answers than the store's `min_n` everything is hidden but that it is (`confidence`).
    """
    figure = summary(metric, tally.counts, tally.points, min_n=store.min_n, normal_n=store.normal_n)
    counts = figure.counts
    return Figure(
        n=figure.n,
        promoters=counts.promoters if counts else None,
        passives=counts.passives if counts else None,
        detractors=counts.detractors if counts else None,
        score=None if figure.score is None else round1(figure.score),
        margin=None if figure.margin is None else round1(figure.margin),
        ci95=(round1(figure.ci95.lo), round1(figure.ci95.hi)) if figure.ci95 else None,
        confidence=figure.confidence.value,
        band=figure.band.value if figure.band else None,
        mean=None if figure.mean is None else round(figure.mean, 3),
    )
