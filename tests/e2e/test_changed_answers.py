"""An answer is amended, retracted, repeated and contradicted, also before it has arrived."""

from uuid import uuid4

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.shop import Shop


async def counts_as(shop: Shop, *counts: int) -> None:
    async def look() -> bool:
        assert await shop.counts() == counts
        assert await shop.counts(policy="latest") == counts
        return True

    await eventually(look)


class TestAnAmendment:
    async def test_moves_the_answer_to_its_new_score(self, shop: Shop) -> None:
        said = await shop.answer(3)
        await counts_as(shop, 0, 0, 1)
        changed = await shop.amend(said["response_id"], score=9, token=said["amend_token"])
        assert changed.status_code == 202
        await counts_as(shop, 1, 0, 0)
        record = await shop.record(said["response_id"])
        assert (record["score"], record["amended"]) == (9, ["score"])

    async def test_may_overtake_its_answer(self, shop: Shop, product: Product) -> None:
        response_id = str(uuid4())
        assert (await shop.amend(response_id, score=9)).status_code == 202
        await product.caught_up("scorer")
        assert (await shop.record(response_id))["status"] == "awaiting_original"
        await shop.answer(2, response_id=response_id)
        await counts_as(shop, 1, 0, 0)

    async def test_of_a_lower_revision_changes_nothing(self, shop: Shop, product: Product) -> None:
        said = await shop.answer(3)
        await shop.amend(said["response_id"], score=10, revision=3)
        await shop.amend(said["response_id"], score=0, revision=2)
        await product.caught_up("scorer")
        await counts_as(shop, 1, 0, 0)


class TestARetraction:
    async def test_takes_the_answer_out_of_every_score(self, shop: Shop) -> None:
        said = await shop.answer(10)
        await counts_as(shop, 1, 0, 0)
        assert (await shop.retract(said["response_id"])).status_code == 202
        await counts_as(shop, 0, 0, 0)
        assert (await shop.record(said["response_id"]))["status"] == "retracted"

    async def test_is_final_also_when_it_overtakes_its_answer(self, shop: Shop, product: Product) -> None:
        response_id = str(uuid4())
        await shop.retract(response_id)
        await shop.answer(10, response_id=response_id)
        await product.caught_up("scorer")
        assert await shop.counts() == (0, 0, 0)
        assert (await shop.record(response_id))["status"] == "retracted"

    async def test_dismisses_the_case_that_nobody_touched(self, shop: Shop) -> None:
        customer = shop.somebody()
        said = await shop.answer(0, customer=customer)
        await eventually(lambda: shop.case_of(customer))
        await shop.retract(said["response_id"])

        async def dismissed() -> bool:
            return bool((await shop.case_of(customer))["status"] == "dismissed")

        await eventually(dismissed)


class TestTheSameId:
    async def test_with_the_same_content_counts_once(self, shop: Shop, product: Product) -> None:
        body = shop.body(10, response_id=str(uuid4()))
        for _ in range(3):
            assert (await shop.post("/v1/responses", body)).status_code == 202
        await product.caught_up()
        assert await shop.counts() == (1, 0, 0)
        assert (await shop.record(body["response_id"]))["conflicts"] == 0

    async def test_of_somebody_else_gives_no_power_over_the_first(self, shop: Shop, product: Product) -> None:
        """Two visitors of a page guess the same id: each may change what they sent themselves."""
        body = shop.body(9, response_id=str(uuid4()))
        first, rival = [
            (await shop.post("/v1/responses", body | {"score": score})).json()["amend_token"]
            for score in (9, 8)
        ]
        response_id = body["response_id"]
        assert (await shop.amend(response_id, score=0, revision=9, token=rival)).status_code == 202
        await product.caught_up()
        assert await shop.counts() == (1, 0, 0)
        assert await shop.cases_of(body["customer"]) == []
        assert (await shop.amend(response_id, score=7, token=first)).status_code == 202
        await product.caught_up()
        assert await shop.counts() == (0, 1, 0)

    async def test_of_an_impossible_score_is_refused_by_all(self, shop: Shop, product: Product) -> None:
        services, name = ("scorer", "segmenter", "notifier"), "closeloop_amendments_refused_total"
        before = [await product.metric(service, name) for service in services]
        customer = shop.somebody()
        said = await shop.answer(2, metric="csat", customer=customer)
        await shop.amend(said["response_id"], score=4, metric="csat")
        await shop.amend(said["response_id"], score=9)
        await product.caught_up()
        assert (await shop.record(said["response_id"]))["score"] == 4
        assert [one["score"] for one in (await shop.customer(customer["id"]))["last_answers"]] == [4]
        assert (await shop.case_of(customer))["answer"]["score"] == 4
        assert [await product.metric(service, name) for service in services] == [b + 1 for b in before]

    async def test_may_come_as_idempotency_key(self, shop: Shop, product: Product) -> None:
        key, body = str(uuid4()), shop.body(10)
        for _ in range(2):
            said = await shop.post("/v1/responses", body, **{"Idempotency-Key": key})
            assert said.json()["response_id"] == key
        await product.caught_up()
        assert await shop.counts() == (1, 0, 0)

    async def test_with_other_content_is_a_conflict_that_shows(self, shop: Shop, product: Product) -> None:
        before = await product.metric("scorer", "closeloop_answer_conflicts_total")
        body = shop.body(10, response_id=str(uuid4()))
        await shop.post("/v1/responses", body)
        await shop.post("/v1/responses", body | {"score": 0})
        await product.caught_up()
        assert await shop.counts() == (1, 0, 0)
        record = await shop.record(body["response_id"])
        assert (record["status"], record["score"], record["conflicts"]) == ("counted", 10, 1)
        assert await product.metric("scorer", "closeloop_answer_conflicts_total") == before + 1
