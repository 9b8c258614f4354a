"""Periods, shares and recurrence against numbers worked out by hand."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.notifier.report.domain import (
    InvalidPeriod,
    Share,
    compare_shares,
    given_period,
    months_seen,
    months_upto,
    named_period,
    week_before,
)
from services.notifier.report.wording import interval, period_name, share_percent
from shared.feedback.comparison import Verdict

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
NOW = datetime(2026, 11, 26, 13, 32, tzinfo=UTC)


class TestPeriods:
    def test_days_are_elapsed_time_up_to_now(self) -> None:
        period = named_period("30d", NOW, AMSTERDAM)
        assert (period.start, period.end) == (NOW - timedelta(days=30), NOW)
        assert period.before == NOW - timedelta(days=60)

    def test_a_month_is_the_zones_own_and_an_hour_longer_when_the_clocks_go_back(self) -> None:
        october = named_period("month:2026-10", NOW, AMSTERDAM)
        assert october.start == datetime(2026, 9, 30, 22, tzinfo=UTC)
        assert october.end == datetime(2026, 10, 31, 23, tzinfo=UTC)
        assert october.end - october.start == timedelta(days=31, hours=1)
        assert october.before == datetime(2026, 8, 31, 22, tzinfo=UTC)

    def test_march_is_an_hour_shorter(self) -> None:
        march = named_period("month:2026-03", NOW, AMSTERDAM)
        assert march.end - march.start == timedelta(days=31, hours=-1)

    def test_january_is_compared_with_december(self) -> None:
        january = named_period("month:2026-01", NOW, AMSTERDAM)
        assert january.before == datetime(2025, 11, 30, 23, tzinfo=UTC)

    def test_a_quarter_over_the_change_of_clocks(self) -> None:
        fourth = named_period("quarter:2026-Q4", NOW, AMSTERDAM)
        assert fourth.start == datetime(2026, 9, 30, 22, tzinfo=UTC)
        assert fourth.end == datetime(2026, 12, 31, 23, tzinfo=UTC)
        assert fourth.before == datetime(2026, 6, 30, 22, tzinfo=UTC)

    @pytest.mark.parametrize(
        "text",
        ["", "31d", "month:2026-13", "month:2026-1", "quarter:2026-Q5", "month:1999-12", "MONTH:2026-10"],
    )
    def test_anything_else_says_what_there_is(self, text: str) -> None:
        with pytest.raises(InvalidPeriod):
            named_period(text, NOW, AMSTERDAM)

    def test_given_ends_are_compared_with_the_same_length(self) -> None:
        period = given_period(NOW - timedelta(days=3), NOW)
        assert period.before == NOW - timedelta(days=6)
        with pytest.raises(InvalidPeriod):
            given_period(NOW, NOW)
        with pytest.raises(InvalidPeriod, match="at most 731 days"):
            given_period(NOW - timedelta(days=800), NOW)

    def test_the_week_before_a_monday_over_the_change_of_clocks(self) -> None:
        # The clocks went back on Sunday, 25 October 2026: that week had 169 hours.
        week = week_before(datetime(2026, 10, 26, 7, tzinfo=UTC), AMSTERDAM)
        assert week.name == "2026-W43"
        assert week.start == datetime(2026, 10, 18, 22, tzinfo=UTC)
        assert week.end - week.start == timedelta(hours=169)

    def test_the_first_week_of_a_year_may_begin_in_the_one_before(self) -> None:
        assert week_before(datetime(2027, 1, 11, 7, tzinfo=UTC), AMSTERDAM).name == "2027-W01"
        assert week_before(datetime(2027, 1, 4, 7, tzinfo=UTC), AMSTERDAM).name == "2026-W53"

    def test_the_last_four_months_end_with_the_one_that_holds_the_end(self) -> None:
        months = months_upto(datetime(2026, 10, 31, 23, tzinfo=UTC), AMSTERDAM)
        assert [start.astimezone(AMSTERDAM).month for start, _ in months] == [7, 8, 9, 10]
        assert months[-1][1] == datetime(2026, 10, 31, 23, tzinfo=UTC)
        assert months_upto(NOW, AMSTERDAM)[-1][0] == datetime(2026, 10, 31, 23, tzinfo=UTC)


class TestShares:
    @pytest.mark.parametrize(
        ("count", "of", "shown", "between"),
        [(142, 165, "86%", "80 to 91%"), (38, 122, "31%", "24 to 40%"), (0, 4, "0%", "0 to 49%")],
    )
    def test_have_their_interval(self, count: int, of: int, shown: str, between: str) -> None:
        assert (share_percent(Share(count, of)), interval(Share(count, of).ci95)) == (shown, between)

    def test_of_nothing_are_missing_and_not_zero(self) -> None:
        assert Share(0, 0).percent is None
        assert share_percent(Share(0, 0)) == interval(Share(0, 0).ci95) == "–"

    @pytest.mark.parametrize(
        ("before", "now", "word"),
        [
            (Share(6, 150), Share(9, 155), Verdict.NO_DIFFERENCE),
            (Share(3, 150), Share(30, 150), Verdict.HIGHER),
            (Share(30, 150), Share(3, 150), Verdict.LOWER),
            (Share(4, 100), Share(12, 100), Verdict.BORDERLINE),
            (Share(0, 29), Share(29, 30), Verdict.TOO_FEW),
            (Share(0, 0), Share(5, 50), Verdict.TOO_FEW),
        ],
    )
    def test_are_compared_honestly(self, before: Share, now: Share, word: Verdict) -> None:
        assert compare_shares(before, now) is word


class TestRecurrence:
    def test_counts_the_months_in_which_a_cause_took_its_share(self) -> None:
        # 20% in 3 of 4 months is recurring; 15% exactly counts, one below it does not.
        months = [
            {"carrier": 20, "size": 15, "other": 65},
            {"carrier": 20, "size": 14, "other": 66},
            {"carrier": 14, "other": 86},
            {"carrier": 1, "other": 4},
        ]
        assert months_seen(months) == {"carrier": 3, "size": 1, "other": 4}

    def test_of_nothing_is_nothing(self) -> None:
        assert months_seen([{}, {}, {}, {}]) == {}


class TestWords:
    def test_of_a_period(self) -> None:
        assert period_name(named_period("month:2026-10", NOW, AMSTERDAM), AMSTERDAM) == "October 2026"
        assert period_name(named_period("quarter:2026-Q3", NOW, AMSTERDAM), AMSTERDAM) == "Quarter 3 of 2026"
        assert (
            period_name(named_period("30d", NOW, AMSTERDAM), AMSTERDAM) == "30 days up to 26 Nov 2026, 14:32"
        )
