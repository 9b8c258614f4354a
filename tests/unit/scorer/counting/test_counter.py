"""The days in which answers are counted."""

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from services.scorer.counting.counter import StoreRules
from shared.config import Store
from shared.feedback.windows import local_day, start_of_day


class TestDayOf:
    def test_no_day_of_any_zone_starts_within_a_quarter_of_an_hour(self) -> None:
        """What the days remembered by quarters rest on."""
        dice = random.Random(1)
        for name in sorted(available_timezones()):
            zone = ZoneInfo(name)
            for _ in range(40):
                day = date(1990, 1, 1) + timedelta(days=dice.randrange(60 * 365))
                assert start_of_day(day, zone).timestamp() % 900 == 0, (name, day)

    def test_is_the_local_day(self) -> None:
        dice = random.Random(2)
        for name in ("Asia/Kathmandu", "Africa/Monrovia", "Pacific/Apia", "America/St_Johns", "Africa/Cairo"):
            rules = StoreRules(Store(name="A shop", timezone=name))
            for _ in range(3000):
                moment = datetime(1965, 1, 1, tzinfo=UTC) + timedelta(
                    hours=dice.randrange(70 * 8766), microseconds=dice.choice([-1, 0, 1, 899_999_999])
                )
                quarter = int(moment.timestamp() // 900)
                assert rules.day_of(moment, quarter) == local_day(moment, rules.zone)

    def test_is_right_where_summer_time_ended_at_a_minute_past_midnight(self) -> None:
        """Newfoundland and Labrador until 2011: one minute of the next day, then the last hour again."""
        rules = StoreRules(Store(name="A shop", timezone="America/St_Johns"))
        moments = [datetime(2010, 11, 7, 2, minute, tzinfo=UTC) for minute in (30, 31)]
        days = [rules.day_of(moment, int(moment.timestamp() // 900)) for moment in moments]
        assert days == [date(2010, 11, 7), date(2010, 11, 6)]
