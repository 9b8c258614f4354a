"""The scores that Prometheus sees: of whom, how many, and none that is hidden."""

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from services.scorer.scores.gauges import MOST_VALUES, ScoreGauges
from shared.ops import metrics
from tests.integration.scorer.builders import NOON, Shop, answer


def folded_values() -> float:
    labels = {"metric": "closeloop_score", "label": "segment"}
    return REGISTRY.get_sample_value("closeloop_label_overflow_total", labels) or 0.0


class Shown:
    """What the gauges of one shop hold after a round."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.gauges = ScoreGauges(shop.database, shop.counter, clock=lambda: NOON)

    async def round(self) -> dict[tuple[str, str, str], tuple[float | None, float | None]]:
        """(score, sample size) by (dimension, segment, window)."""
        await self.gauges.measure()
        return {key: (_values(metrics.SCORE).get(key), n) for key, n in _values(metrics.SCORE_SAMPLE).items()}


def _values(gauge: object) -> dict[tuple[str, str, str], float]:
    (family,) = gauge.collect()  # type: ignore[attr-defined]
    return {(s.labels["dimension"], s.labels["segment"], s.labels["window"]): s.value for s in family.samples}


@pytest.fixture(autouse=True)
def nothing_shown() -> Iterator[None]:
    yield
    for gauge in (metrics.SCORE, metrics.SCORE_SAMPLE, metrics.SCORE_MARGIN):
        gauge.clear()


async def test_the_store_has_every_window_and_an_exported_dimension_one(shop: Shop) -> None:
    shop.configure(
        segments={"country": {"values": ["NL", "DE"]}, "size": {}},
        windows=["7d", "30d"],
        metric_segments=["country"],
    )
    scores = {"NL": (10, 9), "DE": (2,), "FR": (10,)}
    await shop.send(
        *[
            answer(f"{country}-{i}", score, segments={"country": country, "size": "41"})
            for country, given in scores.items()
            for i, score in enumerate(given)
        ]
    )
    assert await Shown(shop).round() == {
        ("all", "all", "7d"): (50.0, 4),
        ("all", "all", "30d"): (50.0, 4),
        ("country", "NL", "30d"): (100.0, 2),
        ("country", "DE", "30d"): (-100.0, 1),
        ("country", "other", "30d"): (100.0, 1),
    }


async def test_a_hidden_score_has_no_value(shop: Shop) -> None:
    shop.configure(
        hide_below={"nps": 3},
        windows=["30d"],
        segments={"country": {}},
        metric_segments=["country"],
        policy="latest",
    )
    await shop.send(
        *[answer(f"a{i}", 10, who=f"c{i}", segments={"country": "NL"}) for i in range(3)],
        *[answer(f"b{i}", 0, who=f"d{i}", segments={"country": "DE"}) for i in range(2)],
    )
    found = await Shown(shop).round()
    assert found == {("all", "all", "30d"): (20.0, 5), ("country", "NL", "30d"): (100.0, 3)}


async def test_values_beyond_the_first_20_are_counted_as_other_and_told(shop: Shop) -> None:
    shop.configure(segments={"city": {}}, windows=["30d"], metric_segments=["city"])
    for i in range(MOST_VALUES):
        await shop.send(answer(f"first-{i}", 9, segments={"city": f"c{i}"}))
    await shop.send(answer("x", 0, segments={"city": "x"}), answer("y", 10, segments={"city": "y"}))
    before = folded_values()
    shown = Shown(shop)
    for _ in range(2):  # the same values are told once
        found = await shown.round()
    assert found["city", "other", "30d"] == (0.0, 2)
    assert len([1 for dimension, *_ in found if dimension == "city"]) == MOST_VALUES + 1
    assert folded_values() - before == 2


async def test_another_replica_shows_nothing(shop: Shop) -> None:
    shop.configure(windows=["30d"])
    await shop.send(answer("a", 9))
    shown = Shown(shop)
    assert await shown.round()
    shown.gauges.forget()
    assert not _values(metrics.SCORE_SAMPLE)
