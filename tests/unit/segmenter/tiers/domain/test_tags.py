from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.segmenter.tiers.domain.programme import EngagementKind, Programme
from services.segmenter.tiers.domain.tags import Tagging, tags
from services.segmenter.tiers.domain.timeline import Answer, Engagement, Fact, Order, Override, Refund
from shared.feedback import Group, Metric, start_of_day

ZONE = ZoneInfo("America/New_York")
PROGRAMME = Programme(currency="USD", version="1")
NOW = datetime(2026, 11, 22, 17, tzinfo=UTC)


def days_ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


def order(days: int, name: str) -> Order:
    return Order(name, days_ago(days), 5_000, "USD")


def answer(days: int, group: Group, metric: Metric = Metric.NPS) -> Answer:
    return Answer(f"r-{days}", days_ago(days), metric, group)


def tagged(*facts: Fact, answers: tuple[Answer, ...] = ()) -> Tagging:
    return tags(facts, answers, PROGRAMME, ZONE, NOW)


class TestTags:
    def test_of_nobody_are_none(self) -> None:
        assert tagged() == Tagging((), None)

    @pytest.mark.parametrize("group", Group)
    def test_name_the_group_of_the_last_answer(self, group: Group) -> None:
        assert tagged(answers=(answer(1, group), answer(9, group))).names == (group.name.lower(),)

    def test_fell_compares_with_the_answer_before(self) -> None:
        fell = (answer(9, Group.PROMOTER), answer(1, Group.PASSIVE))
        assert tagged(answers=fell).names == ("passive", "fell")
        rose = (answer(9, Group.PASSIVE), answer(1, Group.PROMOTER))
        assert tagged(answers=rose).names == ("promoter",)

    def test_look_at_nps_only(self) -> None:
        assert tagged(answers=(answer(1, Group.DETRACTOR, Metric.CSAT),)).names == ()

    def test_repeat_buyer_has_two_orders_in_the_window(self) -> None:
        assert tagged(order(1, "o-1")).names == ()
        assert tagged(order(1, "o-1"), order(364, "o-2")).names == ("repeat_buyer",)
        assert tagged(order(1, "o-1"), order(365, "o-2")).names == ()
        assert tagged(order(1, "o-1"), order(1, "o-1")).names == ()

    def test_an_order_refunded_in_full_is_no_purchase(self) -> None:
        some, rest = (
            Refund("r-1", "o-2", days_ago(1), 3_000),
            Refund("r-2", "o-2", days_ago(0), 2_000),
        )
        assert tagged(order(1, "o-1"), order(2, "o-2"), some).names == ("repeat_buyer",)
        assert tagged(order(1, "o-1"), order(2, "o-2"), some, rest).names == ()

    def test_inactive_begins_at_the_midnight_of_the_ninetieth_day(self) -> None:
        assert tagged(order(90, "o-1")).names == ("inactive",)
        still = tagged(order(89, "o-1"))
        assert still.names == ()
        assert still.next_check == start_of_day(NOW.astimezone(ZONE).date() + timedelta(days=1), ZONE)
        assert tags([order(89, "o-1")], (), PROGRAMME, ZONE, still.next_check).names == ("inactive",)

    def test_only_what_the_customer_does_is_activity(self) -> None:
        old = order(100, "o-1")
        staff = Override("Gold", NOW + timedelta(days=9), "vip", days_ago(1), "m")
        assert tagged(old, staff, Refund("r-1", "o-1", days_ago(1), 1)).names == ("inactive",)
        assert tagged(old, Engagement("e-1", EngagementKind.EVENT, days_ago(1))).names == ()
        assert tagged(old, answers=(answer(1, Group.PASSIVE),)).names == ("passive",)

    def test_wake_when_the_second_last_order_leaves(self) -> None:
        checked = tagged(order(0, "o-1"), order(300, "o-2"))
        assert checked.names == ("repeat_buyer",)
        assert checked.next_check is not None
        leaves = start_of_day(days_ago(300).astimezone(ZONE).date() + timedelta(days=365), ZONE)
        assert checked.next_check == leaves
        later = tags([order(0, "o-1"), order(300, "o-2")], (), PROGRAMME, ZONE, leaves)
        assert "repeat_buyer" not in later.names

    def test_do_not_depend_on_the_order_of_arrival(self) -> None:
        facts = [order(1, "o-1"), order(2, "o-2")]
        answers = (answer(1, Group.PASSIVE), answer(9, Group.PROMOTER))
        assert tagged(*facts, answers=answers) == tagged(*facts[::-1], answers=answers[::-1] * 2)
