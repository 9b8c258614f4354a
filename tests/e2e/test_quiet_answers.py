"""Answers that alert nobody: some count and some do not."""

from datetime import UTC, datetime, timedelta

from tests.e2e.product import Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop


class TestAQuietAnswer:
    async def test_that_is_a_test_is_shown_and_never_counted(
        self, shop: Shop, product: Product, receiver: Receiver
    ) -> None:
        customer = shop.somebody()
        said = await shop.answer(0, test=True, customer=customer)
        await product.caught_up()
        assert await shop.counts() == (0, 0, 0)
        assert (await shop.record(said["response_id"]))["status"] == "test"
        assert await shop.cases_of(customer) == []
        assert receiver.about(said["response_id"]) == []

    async def test_that_is_old_counts_on_its_day_and_opens_no_case(
        self, shop: Shop, product: Product, receiver: Receiver
    ) -> None:
        customer, then = shop.somebody(), datetime.now(UTC) - timedelta(days=10)
        said = await shop.answer(0, customer=customer, answered_at=then.isoformat())
        await product.caught_up()
        assert await shop.counts(window="30d") == (0, 0, 1)
        assert await shop.counts(window="7d") == (0, 0, 0)
        before_it = (then - timedelta(seconds=1)).isoformat()
        assert await shop.counts(window="30d", as_of=before_it) == (0, 0, 0)
        assert await shop.counts(window="30d", as_of=then.isoformat()) == (0, 0, 1)
        assert await shop.cases_of(customer) == []
        assert receiver.about(said["response_id"]) == []

    async def test_of_somebody_who_stays_anonymous_counts_and_opens_no_case(
        self, shop: Shop, product: Product
    ) -> None:
        said = await shop.answer(0, customer=None)
        await product.caught_up()
        assert await shop.counts() == (0, 0, 1)
        query = "SELECT count(*) FROM notifier.case_answers WHERE response_id = $1"
        assert (await product.sql(query, said["response_id"]))[0][0] == 0
