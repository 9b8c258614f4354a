"""The clocks of a case: business hours of a store in its zone, over weekends, holidays and both changes."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifier.cases.domain.clocks import ELAPSED, BusinessHours

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
DAY = ((9 * 60, 18 * 60),)
OFFICE = BusinessHours(AMSTERDAM, (DAY, DAY, DAY, DAY, DAY, (), ()), frozenset({date(2026, 12, 25)}))
LUNCH = BusinessHours(AMSTERDAM, (((9 * 60, 12 * 60), (13 * 60, 17 * 60 + 30)),) * 5 + ((), ()))
ALWAYS = BusinessHours(AMSTERDAM, (((0, 1440),),) * 7)
NIGHTS = BusinessHours(AMSTERDAM, (((0, 6 * 60), (22 * 60, 1440)),) * 7)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=AMSTERDAM)


class TestDue:
    @pytest.mark.parametrize(
        ("hours", "start", "after", "expected"),
        [
            # within a day, at its very end, and over a night
            (OFFICE, "2026-11-23T10:00", 4, "2026-11-23T14:00"),
            (OFFICE, "2026-11-23T09:00", 9, "2026-11-23T18:00"),
            (OFFICE, "2026-11-23T16:00", 4, "2026-11-24T11:00"),
            # outside the hours: before, after, at the weekend
            (OFFICE, "2026-11-23T05:00", 1, "2026-11-23T10:00"),
            (OFFICE, "2026-11-23T18:00", 1, "2026-11-24T10:00"),
            (OFFICE, "2026-11-21T12:00", 1, "2026-11-23T10:00"),
            (OFFICE, "2026-11-27T17:00", 2, "2026-11-30T10:00"),
            # Christmas is a Friday: from Thursday evening to Monday
            (OFFICE, "2026-12-24T17:30", 1, "2026-12-28T09:30"),
            # several spans a day
            (LUNCH, "2026-11-23T11:30", 1, "2026-11-23T13:30"),
            (LUNCH, "2026-11-23T12:15", 4.5, "2026-11-23T17:30"),
            # summer time begins on 29 March 2026 at 02:00: the working days keep their hours
            (OFFICE, "2026-03-27T17:00", 2, "2026-03-30T10:00"),
            # a night shift over it is an hour shorter, and over the end on 25 October an hour longer
            (NIGHTS, "2026-03-28T22:00", 7, "2026-03-29T06:00"),
            (NIGHTS, "2026-10-24T22:00", 9, "2026-10-25T06:00"),
            (ALWAYS, "2026-03-28T12:00", 24, "2026-03-29T13:00"),
            (ALWAYS, "2026-10-24T12:00", 24, "2026-10-25T11:00"),
            # nothing to wait for
            (OFFICE, "2026-11-21T12:00", 0, "2026-11-21T12:00"),
        ],
    )
    def test_is_when_so_much_was_worked(
        self, hours: BusinessHours, start: str, after: float, expected: str
    ) -> None:
        assert hours.due(local(start), timedelta(hours=after)) == local(expected)

    def test_of_a_store_that_hardly_opens_is_bounded(self) -> None:
        seldom = BusinessHours(AMSTERDAM, (((540, 541),), (), (), (), (), (), ()))
        start = local("2026-11-23T10:00")
        assert seldom.due(start, timedelta(hours=8760)) == start.astimezone(UTC) + timedelta(days=3660)


class TestWorked:
    @pytest.mark.parametrize(
        ("hours", "start", "end", "expected"),
        [
            (OFFICE, "2026-11-23T10:00", "2026-11-23T11:00", 1),
            (OFFICE, "2026-11-20T17:00", "2026-11-23T10:00", 2),
            (OFFICE, "2026-11-21T10:00", "2026-11-22T10:00", 0),
            (OFFICE, "2026-12-24T17:00", "2026-12-28T10:00", 2),
            (OFFICE, "2026-11-23T11:00", "2026-11-23T10:00", 0),
            (NIGHTS, "2026-03-28T12:00", "2026-03-29T12:00", 7),
            (NIGHTS, "2026-10-24T12:00", "2026-10-25T12:00", 9),
            (LUNCH, "2026-11-23T00:00", "2026-11-30T00:00", 37.5),
        ],
    )
    def test_is_what_of_the_time_was_open(
        self, hours: BusinessHours, start: str, end: str, expected: float
    ) -> None:
        assert hours.worked(local(start), local(end)) == timedelta(hours=expected)

    def test_around_the_clock_it_is_the_time_itself(self) -> None:
        start, end = local("2026-03-28T12:00"), local("2026-03-29T12:00")
        assert ELAPSED.worked(start, end) == end - start
        assert ELAPSED.worked(end, start) == timedelta()


moments = st.timedeltas(timedelta(), timedelta(days=1000)).map(datetime(2025, 1, 1, tzinfo=UTC).__add__)
lengths = st.timedeltas(timedelta(), timedelta(hours=300))


@st.composite
def calendars(draw: st.DrawFn) -> BusinessHours:
    zone = ZoneInfo(draw(st.sampled_from(["Europe/Amsterdam", "America/New_York", "Asia/Kolkata", "UTC"])))
    days = []
    for _ in range(7):
        cuts = sorted(draw(st.lists(st.integers(0, 1440), max_size=4, unique=True)))
        days.append(tuple(zip(cuts[::2], cuts[1::2], strict=False)))
    days[draw(st.integers(0, 6))] = ((540, 1080),)
    return BusinessHours(zone, tuple(days), draw(st.frozensets(st.dates(), max_size=3)))


def open_minutes(hours: BusinessHours, start: datetime, end: datetime) -> int:
    """By looking at the clock on the wall at every minute."""
    minutes = 0
    while start < end:
        wall = start.astimezone(hours.zone)
        if wall.date() not in hours.holidays:
            minute = wall.hour * 60 + wall.minute
            minutes += any(first <= minute < last for first, last in hours.week[wall.weekday()])
        start += timedelta(minutes=1)
    return minutes


CHANGES = (
    ("Europe/Amsterdam", "2026-03-29T01:00"),
    ("Europe/Amsterdam", "2026-10-25T01:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Atlantic/Azores", "2026-10-25T01:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Africa/Cairo", "2026-04-23T22:00"),
    ("Africa/Cairo", "2026-10-29T21:00"),
    ("America/St_Johns", "2010-11-07T02:31"),
    ("America/Sao_Paulo", "2018-02-18T02:00"),
    ("Asia/Kathmandu", "2026-06-01T00:00"),
)
"""Zones, and a moment (UTC) at which the clocks change there; in Kathmandu they do not."""


@st.composite
def hours_around_a_change(draw: st.DrawFn) -> tuple[BusinessHours, datetime, datetime]:
    """Quarters as edges, most of them in the small hours, and a time around the change, in minutes."""
    zone, change = draw(st.sampled_from(CHANGES))
    days = []
    for _ in range(7):
        edges = st.integers(0, 16).map(lambda n: n * 15) | st.integers(0, 96).map(lambda n: n * 15)
        cuts = sorted(draw(st.lists(edges, max_size=4, unique=True)))
        days.append(tuple(zip(cuts[::2], cuts[1::2], strict=False)))
    at = datetime.fromisoformat(change).replace(tzinfo=UTC)
    before, after = (timedelta(minutes=draw(st.integers(0, 900))) for _ in range(2))
    return BusinessHours(ZoneInfo(zone), tuple(days)), at - before, at + after


class TestAgainstTheClockOnTheWall:
    @pytest.mark.parametrize(
        ("opens", "closes", "start", "end", "minutes"),
        [
            (135, 360, "2026-03-29T00:00", "2026-03-29T12:00", 180),  # from 02:15, which is left out
            (0, 135, "2026-03-29T00:00", "2026-03-29T12:00", 120),
            (135, 360, "2026-10-25T00:00", "2026-10-25T12:00", 270),  # 02:00 to 02:15 is twice before it
            (0, 135, "2026-10-25T00:00", "2026-10-25T12:00", 150),
        ],
    )
    def test_edges_in_the_hour_of_a_change_are_exact(
        self, opens: int, closes: int, start: str, end: str, minutes: int
    ) -> None:
        hours = BusinessHours(AMSTERDAM, (((opens, closes),),) * 7)
        assert hours.worked(local(start), local(end)) == timedelta(minutes=minutes)

    @settings(deadline=None)
    @given(hours_around_a_change())
    def test_every_minute_counts_where_the_wall_says_so(
        self, drawn: tuple[BusinessHours, datetime, datetime]
    ) -> None:
        hours, start, end = drawn
        assert hours.worked(start, end) == timedelta(minutes=open_minutes(hours, start, end))


class TestWhatAlwaysHolds:
    @settings(deadline=None)  # a machine under load takes longer than any deadline
    @given(calendars(), moments, lengths)
    def test_what_was_due_is_what_was_worked(
        self, hours: BusinessHours, start: datetime, length: timedelta
    ) -> None:
        assert hours.worked(start, hours.due(start, length)) == length

    @settings(deadline=None)  # a machine under load takes longer than any deadline
    @given(calendars(), moments, lengths, lengths)
    def test_more_time_is_never_due_earlier(
        self, hours: BusinessHours, start: datetime, one: timedelta, other: timedelta
    ) -> None:
        shorter, longer = sorted((one, other))
        assert hours.due(start, shorter) <= hours.due(start, longer)

    @settings(deadline=None)  # a machine under load takes longer than any deadline
    @given(calendars(), moments, st.timedeltas(timedelta(), timedelta(days=30)), lengths)
    def test_a_later_start_is_never_due_earlier(
        self, hours: BusinessHours, start: datetime, later: timedelta, length: timedelta
    ) -> None:
        assert hours.due(start, length) <= hours.due(start + later, length)

    @settings(deadline=None)  # a machine under load takes longer than any deadline
    @given(calendars(), st.lists(moments, min_size=3, max_size=3))
    def test_parts_of_a_time_add_up(self, hours: BusinessHours, three: list[datetime]) -> None:
        a, b, c = sorted(three)
        assert hours.worked(a, b) + hours.worked(b, c) == hours.worked(a, c)
