"""The figure of one score as everybody gets it: by the API, as an event, and as a gauge."""

from services.scorer.scores.store.tallies import Tally
from shared.config import Store
from shared.events.scores import Figure
from shared.feedback.figures import CONFIDENTIAL_BELOW, summary
from shared.feedback.metrics import Metric
from shared.feedback.nps import round1


def rules_of(metric: Metric, store: Store) -> str:
    """What of the configuration decides how a tally of this metric is shown, in a word to compare."""
    return f"2 {store.hide_below.of(metric)} {CONFIDENTIAL_BELOW} {store.normal_n}"


def figure_of(metric: Metric, tally: Tally, store: Store) -> Figure:
    """Counts, score, margin and interval, rounded once to one decimal.

    Where so few answers would tell who gave them, everything is hidden but that it is, and why.
    """
    figure = summary(
        metric,
        tally.counts,
        tally.points,
        hide_below=store.hide_below.of(metric),
        confidential=tally.confidential,
        normal_n=store.normal_n,
    )
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
        hidden=figure.hidden,
    )
