from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.feedback import (
    WINDOWS,
    Days,
    Split,
    UnknownWindow,
    Window,
    local_day,
    parse_window,
    split,
    start_of_day,
)

ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Amsterdam",
        "America/New_York",
        "Asia/Kolkata",
        "Pacific/Apia",
        "Africa/Casablanca",
        "Africa/Cairo",
        "Atlantic/Azores",
    )
]
TICK = timedelta(microseconds=1)
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
instants = st.integers(0, 17 * 365 * 86_400 * 10**6).map(
    lambda n: datetime(2011, 12, 1, tzinfo=UTC) + n * TICK
)
lengths = st.one_of(
    st.sampled_from(list(WINDOWS.values())),
    st.timedeltas(TICK, timedelta(days=4)),
)


def times_counted(parts: Split, instant: datetime, zone: ZoneInfo) -> int:
    """By how many parts an answer at that instant would be counted."""
    in_days = parts.days is not None and parts.days.first <= local_day(instant, zone) <= parts.days.last
    return sum((in_days, *(part is not None and instant in part for part in (parts.head, parts.tail))))


class TestParseWindow:
    def test_reads_the_four(self) -> None:
        assert [parse_window(w).days for w in ("7d", "30d", "90d", "365d")] == [7, 30, 90, 365]

    @pytest.mark.parametrize("text", ["", "30", "31d", "1m", "-7d", "30D"])
    def test_names_what_is_allowed(self, text: str) -> None:
        with pytest.raises(UnknownWindow, match="7d, 30d, 90d, 365d"):
            parse_window(text)


class TestWindow:
    def test_lets_an_answer_go_when_it_is_exactly_as_old(self) -> None:
        as_of = datetime(2025, 2, 4, 12, tzinfo=UTC)
        window = Window.ending(as_of, timedelta(days=30))
        assert as_of in window
        assert as_of + TICK not in window
        assert as_of - timedelta(days=30) not in window
        assert as_of - timedelta(days=30) + TICK in window

    def test_the_previous_one_shares_no_answer(self) -> None:
        window = Window.ending(datetime(2025, 2, 4, 12, tzinfo=UTC), timedelta(days=30))
        before = window.previous()
        assert before.upto == window.after
        assert before.upto in before
        assert before.upto not in window

    def test_needs_a_zone_and_a_length(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            Window.ending(datetime(2025, 2, 4), timedelta(days=30))  # noqa: DTZ001 - that is the point
        with pytest.raises(ValueError, match="empty"):
            Window.ending(datetime(2025, 2, 4, tzinfo=UTC), timedelta(0))


class TestSplit:
    @settings(max_examples=300)
    @given(instants, lengths, st.sampled_from(ZONES), st.data())
    @example(datetime(2012, 1, 3, 7, tzinfo=UTC), timedelta(days=7), ZoneInfo("Pacific/Apia"), None)
    def test_covers_every_instant_of_the_window_once_and_no_other(
        self, as_of: datetime, length: timedelta, zone: ZoneInfo, data: st.DataObject | None
    ) -> None:
        parts = split(as_of, length, zone)
        after = as_of - length
        edges = [after, as_of]
        edges += [edge for part in (parts.head, parts.tail) if part for edge in (part.after, part.upto)]
        if parts.days:
            edges += [start_of_day(parts.days.first, zone)]
            edges += [start_of_day(parts.days.last + timedelta(days=1), zone)]
        around = [edge + ticks * TICK for edge in edges for ticks in (-1, 0, 1)]
        if data:
            ticks = length // TICK
            around += [
                after + n * TICK for n in data.draw(st.lists(st.integers(-ticks, 2 * ticks), max_size=20))
            ]
        for instant in around:
            assert times_counted(parts, instant, zone) == (after < instant <= as_of), instant

    @given(instants, st.sampled_from(ZONES), st.sampled_from(list(WINDOWS.values())))
    def test_reads_no_more_than_two_days_of_answers(
        self, as_of: datetime, zone: ZoneInfo, length: timedelta
    ) -> None:
        parts = split(as_of, length, zone)
        assert parts.days is not None
        for part in (parts.head, parts.tail):
            assert part is None or part.upto - part.after <= timedelta(hours=25)

    def test_over_the_hour_that_came_twice(self) -> None:
        as_of = datetime(2026, 10, 27, 12, tzinfo=AMSTERDAM)
        parts = split(as_of, timedelta(days=7), AMSTERDAM)
        assert parts.days == Days(date(2026, 10, 21), date(2026, 10, 26))
        # Seven elapsed days before noon in winter time was one o'clock in summer time.
        assert parts.head == Window(
            datetime(2026, 10, 20, 11, tzinfo=UTC), datetime(2026, 10, 20, 22, tzinfo=UTC) - TICK
        )
        assert parts.tail == Window(
            datetime(2026, 10, 26, 23, tzinfo=UTC) - TICK, datetime(2026, 10, 27, 11, tzinfo=UTC)
        )

    def test_at_local_midnight_has_the_first_instant_of_the_new_day(self) -> None:
        midnight = start_of_day(date(2026, 11, 22), AMSTERDAM)
        parts = split(midnight, timedelta(days=7), AMSTERDAM)
        assert parts.tail == Window(midnight - TICK, midnight)
        assert parts.days == Days(date(2026, 11, 16), date(2026, 11, 21))
        assert parts.head == Window(
            start_of_day(date(2026, 11, 15), AMSTERDAM), start_of_day(date(2026, 11, 16), AMSTERDAM) - TICK
        )

    def test_at_the_last_instant_of_a_day_has_whole_days_only(self) -> None:
        last = start_of_day(date(2026, 11, 22), AMSTERDAM) - TICK
        assert split(last, timedelta(days=7), AMSTERDAM) == Split(
            None, Days(date(2026, 11, 15), date(2026, 11, 21)), None
        )

    def test_without_a_whole_day_is_one_piece(self) -> None:
        as_of = datetime(2026, 11, 22, 12, tzinfo=UTC)
        length = timedelta(hours=30)
        assert split(as_of, length, ZoneInfo("UTC")) == Split(Window.ending(as_of, length), None, None)


class TestStartOfDay:
    @pytest.mark.parametrize(
        ("zone", "day", "expected"),
        [
            ("Europe/Amsterdam", date(2026, 7, 1), datetime(2026, 6, 30, 22, tzinfo=UTC)),
            # Clocks go from 24:00 to 01:00: the day starts at one o'clock.
            ("Africa/Cairo", date(2026, 4, 24), datetime(2026, 4, 23, 22, tzinfo=UTC)),
            # Clocks go from 01:00 back to 00:00: the first midnight counts.
            ("Atlantic/Azores", date(2026, 10, 25), datetime(2026, 10, 25, 0, tzinfo=UTC)),
            # A day that never was starts with the next.
            ("Pacific/Apia", date(2011, 12, 30), datetime(2011, 12, 30, 10, tzinfo=UTC)),
            ("Pacific/Apia", date(2011, 12, 31), datetime(2011, 12, 30, 10, tzinfo=UTC)),
            # Clocks went from 23:30 to 00:30: the day starts half an hour late.
            ("America/Toronto", date(1919, 3, 31), datetime(1919, 3, 31, 4, 30, tzinfo=UTC)),
        ],
    )
    def test_where_midnight_is_missing_or_double(self, zone: str, day: date, expected: datetime) -> None:
        assert start_of_day(day, ZoneInfo(zone)) == expected
