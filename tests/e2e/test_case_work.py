"""A person takes a case up and brings it to its end."""

from typing import Any

import pytest

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop


@pytest.fixture
async def case(shop: Shop) -> dict[str, Any]:
    """The open case of an unhappy customer."""
    customer = shop.somebody()
    said = await shop.answer(4, customer=customer, comment="Nobody answers the phone.")
    found = await eventually(lambda: shop.case_of(customer))
    return found | {"who": customer, "response_id": said["response_id"]}


class TestACaseIsWorked:
    async def test_from_open_to_closed(self, product: Product, shop: Shop, case: dict[str, Any]) -> None:
        steps = (
            ("assign", {"owner": product.demo["user"]}, "assigned"),
            ("contact", {"note": "Called back."}, "contacted"),
            ("resolve", {"root_cause": "phone queue", "outcome": "recovered"}, "resolved"),
            ("close", {}, "closed"),
        )
        for action, body, status in steps:
            done = await shop.work(case["id"], action, **body)
            assert (done.status_code, done.json()["status"]) == (200, status), done.text
        worked = (await shop.case(case["id"])).json()
        assert (worked["owner"], worked["outcome"]) == (product.demo["user"], "recovered")
        assert not worked["first_contact"]["missed"]
        assert [line["what"] for line in worked["history"]] == [
            "opened",
            "assigned",
            "contacted",
            "resolved",
            "closed",
        ]

    async def test_but_not_by_a_step_that_its_state_does_not_allow(
        self, shop: Shop, case: dict[str, Any]
    ) -> None:
        refused = await shop.work(case["id"], "reopen")
        assert refused.status_code == 409
        assert refused.headers["content-type"] == "application/problem+json"
        assert (refused.json()["state"], "close" in refused.json()["allowed"]) == ("open", True)
        assert (await shop.case(case["id"])).json()["status"] == "open"

    async def test_but_closes_only_with_a_reason(self, shop: Shop, case: dict[str, Any]) -> None:
        refused = await shop.work(case["id"], "close")
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/root_cause", "/outcome"]

    async def test_but_not_over_what_somebody_else_did_meanwhile(
        self, shop: Shop, case: dict[str, Any]
    ) -> None:
        owner = "kim@closeloop.example"
        await shop.work(case["id"], "assign", owner=owner, version=case["version"])
        refused = await shop.work(
            case["id"], "assign", owner="lee@closeloop.example", version=case["version"]
        )
        assert refused.status_code == 409
        assert refused.json()["owner"] == owner


class TestASecondLowAnswer:
    async def test_joins_the_open_case(self, shop: Shop, case: dict[str, Any], receiver: Receiver) -> None:
        second = await shop.answer(5, customer=case["who"])

        async def joined() -> dict[str, Any]:
            found = await shop.case_of(case["who"])
            assert found["answers"] == 2
            return found

        found = await eventually(joined)
        assert {answer["part"] for answer in found["all_answers"]} == {"opened", "joined"}
        assert receiver.about(second["response_id"]) == []

    async def test_of_a_worse_kind_raises_the_priority_and_tells_again(
        self, shop: Shop, case: dict[str, Any], receiver: Receiver
    ) -> None:
        assert case["priority"] == "normal"
        worse = await shop.answer(0, customer=case["who"])
        [alert] = await eventually(lambda: receiver.about(worse["response_id"]))
        assert alert.body["type"] == "case.raised"
        assert (await shop.case_of(case["who"]))["priority"] == "high"

    async def test_after_the_end_opens_the_same_case_again(
        self, shop: Shop, case: dict[str, Any], product: Product
    ) -> None:
        await shop.work(case["id"], "close", root_cause="phone queue", outcome="recovered")
        await shop.answer(6, customer=case["who"])

        async def reopened() -> bool:
            return bool((await shop.case_of(case["who"]))["status"] == "reopened")

        await eventually(reopened)
        assert (await shop.case(case["id"])).json()["reopened"] == 1
