"""An answer is posted; the score moves, a case opens, somebody is told."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop

LOW = {
    "comment": "It came late, and the box was open.",
    "touchpoint": "post_delivery",
    "segments": {"country": "NL", "product_line": "shoes"},
}


@pytest.fixture(scope="module")
async def outlet(product: Product) -> AsyncIterator[Shop]:
    """A store in which nobody else counts, by a key that the operator made for it."""
    made = await product.command("keys", "create", "--store", "outlet", "--scope", "admin", "--json")
    async with Shop(product.urls, made.json["key"]) as outlet:
        yield outlet


@pytest.fixture(scope="module")
async def angry(outlet: Shop) -> dict[str, Any]:
    """Two happy answers and an angry one."""
    await outlet.answer(10, segments={"country": "DE"})
    await outlet.answer(9)
    customer = outlet.somebody()
    return await outlet.answer(2, **{**LOW, "customer": customer}) | {"customer": customer}


class TestAnAngryAnswer:
    async def test_moves_the_score_of_every_declared_segment(self, outlet: Shop, angry: object) -> None:
        async def moved() -> bool:
            assert await outlet.counts("") == (2, 0, 1)
            return True

        await eventually(moved)
        for policy in ("all", "latest"):
            for window in ("7d", "30d", "90d", "365d"):
                assert await outlet.counts("", policy=policy, window=window) == (2, 0, 1)
        assert await outlet.counts() == (2, 0, 1)
        assert await outlet.counts("country:NL") == (0, 0, 1)
        assert await outlet.counts("country:DE") == (1, 0, 0)
        assert await outlet.counts("country:unknown") == (1, 0, 0)
        assert await outlet.counts("product_line:shoes") == (0, 0, 1)
        assert await outlet.counts("", touchpoint="post_delivery") == (0, 0, 1)
        assert await outlet.counts(f"market:{outlet.market}", touchpoint="post_delivery") == (0, 0, 1)

    async def test_leaves_the_figures_that_follow_from_the_counts(self, outlet: Shop, angry: object) -> None:
        found = await outlet.score("")
        assert (found["n"], found["score"], found["band"]) == (3, 33.3, "good")
        assert found["ci95"][0] < found["score"] < found["ci95"][1]

    async def test_becomes_a_case_with_a_clock(self, outlet: Shop, angry: dict[str, Any]) -> None:
        case = await eventually(lambda: outlet.case_of(angry["customer"]))
        assert (case["status"], case["rule"], case["priority"]) == ("open", "furious", "high")
        assert case["answer"]["response_id"] == angry["response_id"]
        due = datetime.fromisoformat(case["first_contact"]["due_at"])
        assert due - datetime.fromisoformat(case["opened_at"]) > timedelta(hours=7, minutes=59)

    async def test_is_told_by_a_webhook_whose_signature_is_right(
        self, angry: dict[str, Any], receiver: Receiver, signing_secret: str
    ) -> None:
        [alert] = await eventually(lambda: receiver.about(angry["response_id"]))
        told = alert.verified(signing_secret)
        assert told["type"] == "case.opened"
        assert told["data"]["answer"]["comment"] == LOW["comment"]
        assert told["data"]["customer"]["id"] == angry["customer"]["id"]

    async def test_is_told_by_nobody_who_does_not_know_the_secret(
        self, angry: dict[str, Any], receiver: Receiver
    ) -> None:
        [alert] = receiver.about(angry["response_id"])
        with pytest.raises(WebhookVerificationError):
            alert.verified("whsec_c29tZWJvZHkgZWxzZSBhbmQgbm90IHRoZSBwcm9kdWN0")

    async def test_is_told_in_slack(self, angry: dict[str, Any], receiver: Receiver) -> None:
        def posted() -> bool:
            return any(a.path == "/slack" and LOW["comment"] in a.raw.decode() for a in receiver.alerts)

        await eventually(posted)

    async def test_is_seen_by_no_other_store(self, shop: Shop, outlet: Shop, angry: dict[str, Any]) -> None:
        case = await outlet.case_of(angry["customer"])
        assert (await shop.case(case["id"])).status_code == 404
        assert await shop.counts(f"market:{outlet.market}") == (0, 0, 0)


class TestACommentThatComesLater:
    async def test_opens_the_case_at_once_and_alerts_with_the_comment(
        self, shop: Shop, receiver: Receiver
    ) -> None:
        customer = shop.somebody()
        said = await shop.answer(1, complete=False, customer=customer)
        case = await eventually(lambda: shop.case_of(customer))
        assert {delivery["state"] for delivery in case["deliveries"]} == {"pending"}
        assert receiver.about(said["response_id"]) == []

        later = await shop.amend(said["response_id"], comment="The zip broke.", token=said["amend_token"])
        assert later.status_code == 202
        [alert] = await eventually(lambda: receiver.about(said["response_id"]))
        assert alert.body["data"]["answer"]["comment"] == "The zip broke."
