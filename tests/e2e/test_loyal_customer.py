"""What a customer buys decides the tier; the tier decides how scores are cut and how fast somebody calls."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


async def buy(shop: Shop, customer: dict[str, Any], value: int, *, hours_ago: float = 2) -> str:
    """One order; its id."""
    order_id = f"order-of-{customer['id']}"
    await shop.order(
        "placed", id=order_id, placed_at=ago(hours=hours_ago), value=value, currency="EUR", customer=customer
    )
    return order_id


async def give_back(shop: Shop, order_id: str, amount: int, *, hours_ago: float = 1) -> None:
    await shop.order(
        "refunded",
        id=order_id,
        refund_id="r-1",
        refunded_at=ago(hours=hours_ago),
        amount=amount,
        currency="EUR",
    )


async def reaches(shop: Shop, customer: dict[str, Any], tier: str) -> dict[str, Any]:
    """The customer, once the tier is this one."""

    async def look() -> dict[str, Any]:
        found = await shop.customer(customer["id"])
        assert found["tier"] == tier
        return found

    return await eventually(look)


class TestAnOrder:
    async def test_lifts_the_tier_which_is_a_segment_of_later_answers(self, shop: Shop) -> None:
        customer = shop.somebody()
        await shop.answer(8, customer=customer, answered_at=ago(hours=3))
        await buy(shop, customer, 600)
        found = await reaches(shop, customer, "Silver")
        assert found["reason"]["rule"] == "upgrade"
        assert found["orders"]["count"] == 1
        await shop.answer(10, customer=customer)

        async def told_apart() -> bool:
            in_market = f"market:{shop.market}"
            assert await shop.counts(f"{in_market},tier:Bronze") == (0, 1, 0)
            assert await shop.counts(f"{in_market},tier:Silver") == (1, 0, 0)
            assert await shop.counts(f"{in_market},tier:unknown") == (0, 0, 0)
            return True

        await eventually(told_apart)
        assert await shop.counts(policy="latest") == (1, 0, 0)

    async def test_makes_the_case_of_a_valued_customer_urgent(
        self, shop: Shop, product: Product, receiver: Receiver
    ) -> None:
        customer = shop.somebody()
        await buy(shop, customer, 1600)
        ref = (await reaches(shop, customer, "Gold"))["ref"]

        async def known() -> bool:
            query = "SELECT 1 FROM notifier.customers WHERE customer_ref = $1 AND tier = 'Gold'"
            return bool(await product.sql(query, ref))

        await eventually(known)
        said = await shop.answer(5, customer=customer)
        case = await eventually(lambda: shop.case_of(customer))
        assert (case["tier"], case["rule"], case["priority"]) == ("Gold", "valued_customer", "urgent")
        [alert] = await eventually(lambda: receiver.about(said["response_id"]))
        assert alert.body["data"]["customer"]["tier"] == "Gold"


class TestARefund:
    async def test_lowers_the_tier_that_its_order_gave(self, shop: Shop) -> None:
        customer = shop.somebody()
        order_id = await buy(shop, customer, 600)
        await reaches(shop, customer, "Silver")
        await give_back(shop, order_id, 300)
        found = await reaches(shop, customer, "Bronze")
        assert found["reason"]["rule"] == "refund"
        assert [step["to_tier"] for step in found["history"]] == ["Silver", "Bronze"]
        assert found["points"] == 300

    async def test_waits_for_its_order(self, shop: Shop) -> None:
        customer = shop.somebody()
        await give_back(shop, f"order-of-{customer['id']}", 300)
        await buy(shop, customer, 600)

        async def net() -> bool:
            found = await shop.customer(customer["id"])
            assert (found["tier"], found["points"]) == ("Bronze", 300)
            return True

        await eventually(net)
