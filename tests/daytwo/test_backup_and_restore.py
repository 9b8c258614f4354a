"""Yesterday's PostgreSQL is restored; the log brings today back, and nobody is alerted twice."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.daytwo.copies import back_up, destroy_and_restore
from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop

ORDER = {"currency": "EUR", "value": 700.0}
"""Two of them make nobody Gold: the rule that takes an answer must not hang on which topic was read first."""


async def buy(shop: Shop, customer: dict[str, Any], number: int) -> None:
    at = datetime.now(UTC).isoformat()
    await shop.order("placed", id=f"o-{customer['id']}-{number}", placed_at=at, customer=customer, **ORDER)


class Day:
    """What a shop's customers do in a day, and what the product makes of it."""

    def __init__(self, product: Product, shop: Shop, customers: Sequence[dict[str, Any]]) -> None:
        self.product = product
        self.shop = shop
        self.customers = customers

    async def passes(self, number: int) -> None:
        """Every customer buys; every third is unhappy; some think again, some take it back."""
        for place, customer in enumerate(self.customers):
            await buy(self.shop, customer, number)
            score = 1 if place % 3 == 0 else 9
            said = await self.shop.answer(
                score, response_id=f"a-{number}-{customer['id']}", customer=customer
            )
            if place % 3 == 1:
                await self.shop.amend(said["response_id"], score=7, revision=2)
            elif place % 6 == 5:
                await self.shop.retract(said["response_id"])
        await self.product.caught_up()

    async def figures(self) -> dict[str, Any]:
        """Counts, tiers and cases, and the books."""
        standing = [await self.shop.customer(customer["id"]) for customer in self.customers]
        cases = [case for customer in self.customers for case in await self.shop.cases_of(customer)]
        books = await self.product.command("verify", "--json")
        assert books.code == 0, books.output + books.errors
        return {
            "counts": await self.shop.counts(),
            "tiers": [(one["tier"], one["points"], one["orders"]["count"]) for one in standing],
            "cases": sorted(
                (case["id"], case["customer"]["id"], sorted(a["response_id"] for a in case["all_answers"]))
                for case in cases
            ),
            "accepted": books.json["scorer"]["accepted"],
            "fates": books.json["scorer"]["fates"],
        }


async def waiting(product: Product) -> list[str]:
    rows = await product.sql("SELECT delivery_id FROM notifier.deliveries WHERE state = 'pending'")
    return [row[0] for row in rows]


class TestYesterdaysDatabase:
    async def test_is_restored_and_the_log_brings_today_back(
        self, product: Product, receiver: Receiver, tmp_path: Path
    ) -> None:
        backup = tmp_path / "yesterday.dump"
        async with Shop(product.urls, product.demo["secret_key"]) as shop:
            early, late = ([shop.somebody() for _ in range(12)] for _ in range(2))
            yesterday = Day(product, shop, early)
            await yesterday.passes(1)
            await back_up(product.demo["database_url"], backup)

            today = Day(product, shop, [*early, *late])
            await today.passes(2)

            async def all_sent() -> bool:
                return not await waiting(product)

            await eventually(all_sent)
            before = await today.figures()
            told = {alert.id for alert in receiver.alerts}
            times = len(receiver.alerts)

        assert await product.stop() == 0
        crashed = datetime.now(UTC)
        await destroy_and_restore(product, backup)
        await product.start()

        async with Shop(product.urls, product.demo["secret_key"], market=shop.market) as shop:
            today = Day(product, shop, [*early, *late])
            await product.caught_up()
            assert await today.figures() == before

            held = (await product.command("deliveries", "status", "--json")).json
            assert held["held"] == ["restored"]
            again = await waiting(product)
            assert again, "the cases of today have alerts that this database knows nothing of"
            assert set(again) <= told, "an alert of before comes under another id: nobody can tell it is old"
            assert len(receiver.alerts) == times, "something was sent before anybody looked"

            released = await product.command(
                "deliveries", "release", "--sent-before", crashed.isoformat(), "--json"
            )
            assert released.json == {"called_off": len(again), "waiting": 0}
            said = await shop.answer(0, customer={"id": f"{shop.market}-newcomer"})
            await eventually(lambda: receiver.about(said["response_id"]))
            assert len(receiver.alerts) == times + 1
