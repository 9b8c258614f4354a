"""What facts are worth once they are handled, and the number under which a customer is told."""

from datetime import timedelta

import pytest

from shared.events.responses import Customer, Identity
from tests.integration.segmenter.builders import (
    ASHA,
    Shop,
    answer,
    engage,
    milliseconds,
    order,
    refund,
    retract,
)


class TestPoints:
    @pytest.mark.parametrize("score", [0, 6, 8, 10])
    async def test_an_answer_gives_20_whatever_its_score(self, shop: Shop, score: int) -> None:
        await shop.send(answer(score=score))
        assert (await shop.customer())["points"] == 20

    async def test_a_test_answer_gives_none(self, shop: Shop) -> None:
        await shop.send(answer(test=True))
        row = await shop.customer()
        assert (row["points"], row["tags"]) == (0, [])

    async def test_a_retracted_answer_loses_them(self, shop: Shop) -> None:
        await shop.send(answer(score=2), answer("r-2", score=2, when="2024-05-02"))
        await shop.send(retract("r-2"))
        assert (await shop.customer())["points"] == 20

    async def test_an_anonymous_or_confidential_answer_is_nobodys(self, shop: Shop) -> None:
        person = Customer(ref=ASHA)
        await shop.send(answer("r-1", identity=Identity.CONFIDENTIAL, customer=person))
        await shop.send(answer("r-2", identity=Identity.ANONYMOUS, customer=person))
        people, facts = await shop.rows()
        assert people == []
        assert [fact["ref"] for fact in facts] == [None, None]

    async def test_cents_add_up_before_they_become_points(self, shop: Shop) -> None:
        await shop.send(order("o-1", "0.50"), order("o-2", "0.50"))
        assert (await shop.customer())["points"] == 1

    async def test_an_order_in_another_currency_gives_none(self, shop: Shop) -> None:
        await shop.send(order("o-1", 600, currency="USD"))
        assert (await shop.customer())["points"] == 0

    async def test_nobody_gives_answers_by_the_engagement_route(self, shop: Shop) -> None:
        await shop.send(engage("e-1", "answer"))
        assert (await shop.customer())["points"] == 0


class TestRefunds:
    async def test_of_an_unknown_order_waits_and_is_worth_nothing(self, shop: Shop) -> None:
        await shop.send(refund("o-1", 300))
        people, facts = await shop.rows()
        assert people == []
        assert facts[0]["ref"] is None
        await shop.send(order("o-1", 600))
        assert (await shop.customer())["points"] == 300

    async def test_never_take_more_than_their_order(self, shop: Shop) -> None:
        await shop.send(order("o-1", 100), order("o-2", 50), refund("o-1", 500))
        assert (await shop.customer())["points"] == 50

    async def test_of_two_orders_may_have_the_same_id(self, shop: Shop) -> None:
        await shop.send(order("o-1", 100), order("o-2", 100), refund("o-1", 10), refund("o-2", 10))
        assert (await shop.customer())["points"] == 180


class TestSeq:
    async def test_rises_with_tier_and_tags_but_not_with_points(self, shop: Shop) -> None:
        seqs = []
        for sent in (
            order("o-1", 100, "2024-05-01"),  # new
            engage("e-1", "review"),
            order("o-2", 100, "2024-05-02"),  # repeat_buyer
            order("o-3", 100, "2024-05-03"),
            order("o-4", 200, "2024-05-04"),  # Silver
            answer(score=9),  # promoter
            answer("r-2", score=10, when="2024-05-02"),
        ):
            await shop.send(sent)
            seqs.append((await shop.customer())["seq"])
        first = milliseconds(shop.now)
        assert seqs == [first + changes for changes in (0, 0, 1, 1, 2, 3, 3)]

    async def test_is_above_whatever_a_restored_database_forgot(self, shop: Shop) -> None:
        """Consumers ignore a lower one than they heard."""
        await shop.send(order("o-1", 100, "2024-05-01"))
        later = shop.now + timedelta(seconds=1)
        await shop.send(order("o-2", 500, "2024-05-02"), now=later)
        assert (await shop.customer())["seq"] == milliseconds(later)
