import pytest

from shared.feedback import Band, Confidence, Counts, Metric, round1, summary


class TestSummary:
    def test_of_nps(self) -> None:
        figure = summary(Metric.NPS, Counts(60, 25, 15), 800)
        assert (figure.n, figure.score, figure.mean) == (100, 45.0, 8.0)
        assert figure.ci95 == pytest.approx((29.257, 58.126), abs=0.0005)
        assert figure.margin == pytest.approx(14.434, abs=0.0005)
        assert (figure.confidence, figure.band) == (Confidence.NORMAL, Band.GOOD)

    def test_of_enps(self) -> None:
        assert summary(Metric.ENPS, Counts(25, 55, 20)).score == 5.0

    def test_of_csat(self) -> None:
        # Delighted's example: 5:42 4:32 3:10 2:9 1:14.
        figure = summary(Metric.CSAT, Counts(74, 10, 23), 5 * 42 + 4 * 32 + 3 * 10 + 2 * 9 + 14)
        assert figure.score == pytest.approx(69.16, abs=0.005)
        assert figure.ci95 == pytest.approx((59.87, 77.12), abs=0.005)
        assert figure.margin == pytest.approx((77.12 - 59.87) / 2, abs=0.01)
        assert figure.mean == pytest.approx(3.738, abs=0.0005)
        assert figure.band is None

    def test_of_ces(self) -> None:
        figure = summary(Metric.CES, Counts(39, 6, 5), 270)
        assert (figure.score, figure.mean) == (78.0, 5.4)
        assert summary(Metric.CES, Counts(10, 5, 5)).score == 50.0

    def test_of_the_first_answer_is_shown_with_its_interval(self) -> None:
        figure = summary(Metric.NPS, Counts(1, 0, 0), 9)
        assert (figure.n, figure.score, figure.mean, figure.hidden) == (1, 100.0, 9.0, None)
        assert figure.ci95 == pytest.approx((-58.690, 100.0), abs=0.0005)
        assert figure.confidence is Confidence.LOW

    @pytest.mark.parametrize(
        ("hide_below", "confidential", "counts", "hidden"),
        [
            (1, 0, Counts(1, 2, 1), None),
            (1, 1, Counts(1, 2, 1), "fewer than 5 answers"),
            (1, 5, Counts(2, 2, 1), None),
            (5, 0, Counts(1, 2, 1), "fewer than 5 answers"),
            (8, 1, Counts(2, 2, 1), "fewer than 8 answers"),
            (5, 0, Counts(), None),
        ],
    )
    def test_is_hidden_where_it_would_tell_who_answered(
        self, hide_below: int, confidential: int, counts: Counts, hidden: str | None
    ) -> None:
        figure = summary(Metric.ENPS, counts, hide_below=hide_below, confidential=confidential)
        assert figure.hidden == hidden
        assert (figure.confidence is Confidence.SUPPRESSED) is (hidden is not None)

    def test_that_is_hidden_tells_nothing_not_even_how_many(self) -> None:
        figure = summary(Metric.NPS, Counts(1, 2, 1), 30, hide_below=5)
        assert figure.confidence is Confidence.SUPPRESSED
        assert figure.band is None
        assert {figure.n, figure.counts, figure.score, figure.margin, figure.ci95, figure.mean} == {None}

    def test_of_nothing_is_null_with_n_nought(self) -> None:
        figure = summary(Metric.NPS, Counts(), 0)
        assert (figure.n, figure.score, figure.mean) == (0, None, None)
        assert (figure.confidence, figure.hidden) == (Confidence.LOW, None)

    def test_below_thirty_is_shown_with_little_confidence(self) -> None:
        figure = summary(Metric.NPS, Counts(8, 0, 2))
        assert (figure.score, figure.confidence) == (60.0, Confidence.LOW)

    def test_takes_the_band_before_it_rounds(self) -> None:
        figure = summary(Metric.NPS, Counts(4999, 5001, 0))
        assert figure.score == 49.99
        assert figure.band is Band.GOOD
        assert round1(figure.score) == 50.0

    def test_refuses_what_was_subtracted_twice(self) -> None:
        with pytest.raises(ValueError, match="below zero"):
            summary(Metric.NPS, Counts(10, 0, -1))
