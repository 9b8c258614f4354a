"""Quiet hours of a channel, on the wall clock of the store."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.notifier.deliveries.retries import QuietHours

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def until(span: str, local: str, fold: int = 0) -> str | None:
    """The local end of the quiet that a local moment lies in."""
    now = datetime.fromisoformat(local).replace(tzinfo=AMSTERDAM, fold=fold).astimezone(UTC)
    end = QuietHours.parse(span).until(now, AMSTERDAM)
    assert end is None or end > now
    return f"{end.astimezone(AMSTERDAM):%m-%d %H:%M %Z}" if end else None


class TestQuietHours:
    @pytest.mark.parametrize(
        ("span", "now", "end"),
        [
            ("22:00-07:00", "2026-06-10T21:59", None),
            ("22:00-07:00", "2026-06-10T22:00", "06-11 07:00 CEST"),
            ("22:00-07:00", "2026-06-11T00:00", "06-11 07:00 CEST"),
            ("22:00-07:00", "2026-06-11T06:59", "06-11 07:00 CEST"),
            ("22:00-07:00", "2026-06-11T07:00", None),
            ("12:00-13:30", "2026-06-11T12:15", "06-11 13:30 CEST"),
            ("12:00-13:30", "2026-06-11T13:30", None),
            ("22:00-00:00", "2026-12-31T23:00", "01-01 00:00 CET"),
            ("22:00-07:00", "2026-10-24T23:00", "10-25 07:00 CET"),
            ("22:00-07:00", "2026-03-28T23:00", "03-29 07:00 CEST"),
            ("22:00-02:30", "2026-10-25T01:00", "10-25 02:30 CET"),
            ("22:00-02:30", "2026-03-29T01:00", "03-29 03:00 CEST"),
        ],
    )
    def test_end_on_the_wall_clock(self, span: str, now: str, end: str | None) -> None:
        assert until(span, now) == end

    def test_are_an_hour_longer_in_the_night_that_has_one_more(self) -> None:
        start = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
        end = QuietHours.parse("22:00-07:00").until(start, AMSTERDAM)
        assert end
        assert (end - start).total_seconds() == 10 * 3600

    @pytest.mark.parametrize("span", ["22-7", "24:00-07:00", "22:00-07:60", "22:00", "07:00-07:00", ""])
    def test_that_are_none_are_refused(self, span: str) -> None:
        with pytest.raises(ValueError, match=r"hours|same time"):
            QuietHours.parse(span)
