"""The demo's world: the same for the same seed, never in the future, and with a bad week in it."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cli.demo.comments import Mood, Theme, comment
from cli.demo.journeys import Step
from cli.demo.people import people
from cli.demo.shop import Shop

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
FIRST = TODAY - timedelta(days=60)


def history(seed: int = 1) -> list[Step]:
    return Shop(seed, TODAY).history(FIRST, NOW, 60)


def nps(steps: Iterable[Step]) -> float:
    scores = [step.body["score"] for step in steps if step.is_answer and step.body["metric"] == "nps"]
    return 100 * (sum(s >= 9 for s in scores) - sum(s <= 6 for s in scores)) / len(scores)


class TestHistory:
    def test_is_the_same_for_the_same_seed(self) -> None:
        assert history() == history()
        assert history() != history(seed=2)

    def test_grows_by_what_happened_since(self) -> None:
        shop = Shop(1, TODAY)
        later = shop.history(FIRST, NOW + timedelta(days=2), 60)

        assert [step for step in later if step.at <= NOW] == shop.history(FIRST, NOW, 60)

    def test_is_in_order_and_never_in_the_future(self) -> None:
        moments = [step.at for step in history()]

        assert moments == sorted(moments)
        assert moments[-1] <= NOW

    def test_names_every_answer_and_order_once(self) -> None:
        answers = [step.body["response_id"] for step in history() if step.is_answer]
        orders = [step.body["id"] for step in history() if step.body.get("type") == "placed"]

        assert len(answers) == len(set(answers))
        assert len(orders) == len(set(orders))
        assert max(map(len, answers)) <= 128

    def test_has_customers_who_answer_again(self) -> None:
        emails = [
            step.body["customer"]["email"]
            for step in history()
            if "score" in step.body and "customer" in step.body
        ]

        assert len(set(emails)) < len(emails) * 0.7

    def test_has_every_metric_touchpoint_and_country(self) -> None:
        answers = [step.body for step in history() if step.is_answer]

        assert {body["metric"] for body in answers} == {"nps", "csat", "ces"}
        assert {body.get("touchpoint") for body in answers} == {
            None,
            "post_purchase",
            "post_delivery",
            "support",
            "return",
        }
        assert {body["segments"]["country"] for body in answers} == {"NL", "DE", "FR", "BE", "GB"}

    def test_has_a_bad_week_of_deliveries_in_germany_only(self) -> None:
        shop = Shop(1, TODAY)
        delivered = [step for step in history() if step.body.get("touchpoint") == "post_delivery"]
        weeks = [step for step in delivered if shop.in_bad_week((step.at - timedelta(hours=15)).date())]
        german = [step for step in weeks if step.body["segments"]["country"] == "DE"]
        others = [step for step in weeks if step.body["segments"]["country"] != "DE"]

        assert nps(german) < -20
        assert nps(others) > 20


class TestAVisit:
    def test_ends_with_an_answer_given_now(self) -> None:
        shop, rng = Shop(1, TODAY), random.Random(1)
        visits = [list(shop.visit(rng, f"run-{number}", NOW)) for number in range(300)]
        answers = [step for steps in visits for step in steps if step.is_answer]

        assert any(step.body.get("answered_at") == NOW.isoformat() for step in answers)
        assert all(step.body.get("answered_at", "") <= NOW.isoformat() for step in answers)
        assert all(step.at >= NOW for steps in visits for step in steps)

    def test_from_a_browser_says_nothing_that_only_a_server_may(self) -> None:
        shop, rng = Shop(1, TODAY), random.Random(1)
        steps = [step for number in range(300) for step in shop.visit(rng, f"run-{number}", NOW)]
        public = [step.body for step in steps if step.public]

        assert public
        assert not any({"answered_at", "order", "response_id"} & body.keys() for body in public)


class TestPeople:
    def test_stay_who_they_are(self) -> None:
        assert people(7) == people(7)

    def test_have_an_address_of_their_own(self) -> None:
        emails = {person.customer["email"] for person in people(1)}
        assert len(emails) == len(people(1))


class TestComments:
    def test_exist_for_every_theme_mood_and_language(self) -> None:
        rng = random.Random(1)
        for theme in Theme:
            for mood in Mood:
                for language in ("en", "nl", "de", "fr"):
                    assert comment(rng, theme, mood, language=language)
