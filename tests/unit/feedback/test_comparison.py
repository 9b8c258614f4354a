import json
from pathlib import Path
from typing import Any

import pytest

from shared.feedback import Counts, Difference, Metric, Verdict, difference, verdict

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())["differences"]


def compared(a: Counts, b: Counts, **how: Any) -> Difference:
    found = difference(a, b, **how)
    assert found is not None
    return found


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
class TestGoldenDifferences:
    def test_adjusted_by_default(self, case: dict[str, Any]) -> None:
        found = compared(Counts(*case["a"]), Counts(*case["b"]))
        assert found.delta == pytest.approx(case["delta"])
        assert found.z == pytest.approx(case["adjusted"]["z"], abs=1e-6)
        assert found.p == pytest.approx(case["adjusted"]["p"], abs=1e-6)
        assert found.ci95 == pytest.approx(case["adjusted"]["ci95"], abs=1e-4)

    def test_plain_on_request(self, case: dict[str, Any]) -> None:
        found = compared(Counts(*case["a"]), Counts(*case["b"]), adjusted=False)
        assert found.delta == pytest.approx(case["delta"])
        assert found.se == pytest.approx(case["plain"]["se"])
        assert found.z == pytest.approx(case["plain"]["z"], abs=1e-6)
        assert found.p == pytest.approx(case["plain"]["p"], abs=1e-6)
        assert found.ci95 == pytest.approx(case["plain"]["ci95"], abs=1e-4)

    def test_the_verdict_in_a_word(self, case: dict[str, Any]) -> None:
        assert verdict(difference(Counts(*case["a"]), Counts(*case["b"]))) == case["verdict"]


class TestDifference:
    def test_is_signed(self) -> None:
        a, b = Counts(70, 15, 15), Counts(60, 25, 15)
        assert compared(a, b).delta == pytest.approx(-10)
        assert compared(b, a).delta == pytest.approx(10)

    def test_needs_answers_on_both_sides(self) -> None:
        assert difference(Counts(), Counts(5, 5, 5)) is None
        assert difference(Counts(5, 5, 5), Counts()) is None
        assert verdict(None) is Verdict.TOO_FEW

    def test_without_any_spread_says_nothing(self) -> None:
        found = compared(Counts(10, 0, 0), Counts(10, 0, 0), adjusted=False)
        assert (found.z, found.p) == (None, None)
        assert verdict(found) is Verdict.TOO_FEW

    def test_is_significant_only_with_enough_answers(self) -> None:
        assert compared(Counts(600, 250, 150), Counts(700, 150, 150)).significant()
        assert not compared(Counts(60, 25, 15), Counts(70, 15, 15)).significant()
        few = compared(Counts(20, 0, 0), Counts(0, 0, 20))
        assert few.p is not None
        assert few.p < 0.001
        assert not few.significant()

    def test_a_clear_fall_is_lower(self) -> None:
        assert verdict(difference(Counts(700, 150, 150), Counts(600, 250, 150))) is Verdict.LOWER

    @pytest.mark.parametrize("metric", [Metric.CSAT, Metric.CES])
    def test_of_shares_leaves_the_unfavourable_out(self, metric: Metric) -> None:
        found = compared(Counts(50, 50, 0), Counts(60, 0, 40), metric=metric, adjusted=False)
        assert found.delta == pytest.approx(10)
        assert found.se == pytest.approx(100 * (0.25 / 100 + 0.24 / 100) ** 0.5)
        # Agresti-Caffo: (61/102 - 51/102), one success and one failure more on each side.
        adjusted = compared(Counts(50, 50, 0), Counts(60, 0, 40), metric=metric)
        assert sum(adjusted.ci95) / 2 == pytest.approx(100 * (61 - 51) / 102)
