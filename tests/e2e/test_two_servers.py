"""Two servers that use the same ids: those of two stores never meet, those of one store are one sender."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.shop import Shop

MOMENT = "2026-01-02T10:00:00Z"


@asynccontextmanager
async def server(product: Product, store: str, scope: str) -> AsyncIterator[Shop]:
    """A server with a secret key of its own."""
    made = await product.command("keys", "create", "--store", store, "--scope", scope, "--json")
    async with Shop(product.urls, made.json["key"]) as shop:
        yield shop


@pytest.fixture(scope="module")
async def stranger(product: Product) -> AsyncIterator[Shop]:
    """The server of another store. Each test leaves nothing there that counts: a journey counts all of it."""
    async with server(product, "outlet", "admin") as stranger:
        yield stranger


@pytest.fixture(scope="module")
async def colleague(product: Product) -> AsyncIterator[Shop]:
    """A second server of the shop."""
    async with server(product, "demo", "responses:write") as colleague:
        yield colleague


class TestServersOfTwoStores:
    async def test_that_use_one_response_id_change_only_what_is_theirs(
        self, product: Product, shop: Shop, stranger: Shop
    ) -> None:
        shared, customer = f"r-{uuid4()}", shop.somebody()
        mine = await shop.answer(2, response_id=shared, customer=customer)
        theirs = await stranger.answer(10, response_id=shared, customer=customer)
        await product.caught_up("scorer")
        assert (await shop.record(shared))["score"] == 2
        assert (await stranger.record(shared))["score"] == 10

        # Whoever brings an amend token, it is for the answer that it came with.
        assert (await stranger.amend(shared, score=3, token=mine["amend_token"])).status_code == 202
        assert (await shop.amend(shared, score=9, token=theirs["amend_token"])).status_code == 202
        await product.caught_up("scorer")
        assert ((await shop.record(shared))["score"], await shop.counts()) == (3, (0, 0, 1))
        assert ((await stranger.record(shared))["score"], await stranger.counts()) == (9, (1, 0, 0))

        assert (await stranger.amend(shared, score=7, revision=2)).status_code == 202
        await product.caught_up("scorer")
        assert (await stranger.record(shared))["score"] == 7
        assert (await stranger.retract(shared)).status_code == 202
        await product.caught_up("scorer")
        assert (await stranger.record(shared))["status"] == "retracted"
        assert await stranger.counts() == (0, 0, 0)
        record = await shop.record(shared)
        assert (record["score"], record["status"], record["conflicts"]) == (3, "counted", 0)
        assert await shop.counts() == (0, 0, 1)

        case = await eventually(lambda: shop.case_of(customer))
        assert case["status"] == "open"
        assert (await stranger.case(case["id"])).status_code == 404
        assert (await stranger.work(case["id"], "assign", owner="kim")).status_code == 404
        assert await stranger.cases_of(customer) == []

    async def test_that_guess_an_id_read_and_displace_nothing(
        self, product: Product, shop: Shop, stranger: Shop
    ) -> None:
        guessed = f"r-{uuid4()}"
        assert (await stranger.amend(guessed, score=0)).status_code == 202
        assert (await stranger.retract(guessed)).status_code == 202
        await shop.answer(10, response_id=guessed)
        await product.caught_up("scorer")
        record = await shop.record(guessed)
        assert (record["score"], record["status"], record["amended"]) == (10, "counted", [])
        assert (await stranger.record(guessed))["status"] == "retracted"
        unknown = await stranger.http.get(f"{stranger.urls['scorer']}/v1/answers/{uuid4()}")
        assert unknown.status_code == 404
        for url in (f"{shop.urls['scorer']}/v1/answers/{guessed}", f"{shop.urls['notifier']}/v1/cases"):
            assert (await stranger.http.get(url, params={"store": "demo"})).status_code == 404

    async def test_that_use_one_order_id_count_only_their_own_orders(
        self, product: Product, shop: Shop, stranger: Shop
    ) -> None:
        customer, order_id = shop.somebody(), f"o-{uuid4()}"
        for server, value in ((shop, 600), (stranger, 40)):
            await server.order(
                "placed", id=order_id, placed_at=MOMENT, value=value, currency="EUR", customer=customer
            )
        await stranger.order(
            "refunded", id=order_id, refund_id="rf-1", refunded_at=MOMENT, amount=15, currency="EUR"
        )
        await product.caught_up("segmenter")
        mine, theirs = await shop.customer(customer["id"]), await stranger.customer(customer["id"])
        assert mine["ref"] != theirs["ref"]
        assert (mine["orders"]["spent"], mine["orders"]["refunded"]) == ("600", "0")
        assert (theirs["orders"]["spent"], theirs["orders"]["refunded"]) == ("25", "15")
        assert mine["orders"]["count"] == theirs["orders"]["count"] == 1


class TestServersOfOneStore:
    async def test_may_amend_and_retract_each_others_answers(
        self, product: Product, shop: Shop, colleague: Shop
    ) -> None:
        said = await shop.answer(10)
        assert (await colleague.amend(said["response_id"], score=3)).status_code == 202
        await product.caught_up("scorer")
        assert await shop.counts() == (0, 0, 1)
        assert (await colleague.retract(said["response_id"])).status_code == 202
        await product.caught_up("scorer")
        assert (await shop.record(said["response_id"]))["status"] == "retracted"
        assert await shop.counts() == (0, 0, 0)

    async def test_that_use_one_response_id_keep_the_first_answer(
        self, product: Product, shop: Shop, colleague: Shop
    ) -> None:
        said = await shop.answer(10)
        await colleague.answer(0, response_id=said["response_id"])
        await product.caught_up("scorer")
        record = await shop.record(said["response_id"])
        assert (record["score"], record["conflicts"]) == (10, 1)
        assert await shop.counts() == (1, 0, 0)
