"""One word follows an answer from POST to alert, and no word of a customer is in a log or a metric."""

import secrets
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.e2e.eventually import eventually
from tests.e2e.product import SERVICES, Product
from tests.e2e.receiver import Alert, Receiver
from tests.e2e.shop import Shop

RESPONSES = "feedback.responses.v1"
POISON = """{"store": "demo", "response_id": "poison-%(id)s", "fingerprint": "f", "metric": "nps",
    "scale": "0-10", "score": 0, "received_at": "2026-11-22T10:00:00Z",
    "answered_at": "2026-11-22T10:00:00Z", "identity": "identified",
    "customer": {"ref": "%(id)s", "name": "%(word)s"}, "comment": %(comment)s}"""


class TestTheTraceOfAnAnswer:
    async def test_is_the_same_from_the_post_to_the_alert(
        self, product: Product, shop: Shop, receiver: Receiver
    ) -> None:
        trace = secrets.token_hex(16)
        body = shop.body(0)
        said = await shop.post("/v1/responses", body, traceparent=f"00-{trace}-{secrets.token_hex(8)}-01")
        assert said.headers["traceparent"].split("-")[1] == trace
        [alert] = await eventually(lambda: receiver.about(said.json()["response_id"]))
        assert alert.headers["traceparent"].split("-")[1] == trace

        def logged() -> bool:
            lines = [*product.told("notifier", "case.opened"), *product.told("notifier", "alert.sent")]
            return {x["event"] for x in lines if x.get("correlation_id") == trace} == {
                "case.opened",
                "alert.sent",
            }

        await eventually(logged)

    async def test_is_made_where_the_client_has_none(self, shop: Shop) -> None:
        said = await shop.post("/v1/responses", shop.body(9))
        assert len(said.headers["traceparent"].split("-")[1]) == 32


class TestWhatCustomersSay:
    async def test_is_in_no_log_and_no_metric(self, product: Product, shop: Shop, receiver: Receiver) -> None:
        word = f"canary{secrets.token_hex(6)}"
        await self._say_everywhere(word, product, shop, receiver)
        await self._say_it_wrongly(word, product, shop)
        await product.caught_up()

        assert [line for line in product.logs() if word in line] == []
        for service in SERVICES:
            assert word not in (await product.get(service, "/metrics")).text, service
        assert word not in (await product.command("dead", "list")).output

    async def _say_everywhere(self, word: str, product: Product, shop: Shop, receiver: Receiver) -> None:
        """In every field that may hold it, through every service, and to a receiver that fails at first."""
        failed: set[str] = set()

        def fails_once(alert: Alert) -> int:
            if word.encode() not in alert.raw or alert.path in failed:
                return 204
            failed.add(alert.path)
            return 500

        receiver.answer = fails_once
        customer = {"id": f"id-{word}", "email": f"{word}@shop.example", "name": word, "consent": True}
        said = await shop.answer(
            0,
            comment=word,
            customer=customer,
            order={"id": f"order-{word}", "value": 10, "currency": "EUR"},
            answers=[{"question": "why", "value": word}],
            segments={"undeclared": word},
        )
        await shop.order(
            "placed",
            id=f"order-{word}",
            placed_at="2026-01-05T10:00:00Z",
            value=1600,
            currency="EUR",
            customer=customer,
        )
        await shop.amend(said["response_id"], comment=f"{word} again")
        await shop.post("/v1/responses", shop.body(1, response_id=said["response_id"], comment=word))

        async def delivered() -> dict[str, Any]:
            case = await shop.case_of(customer)
            assert {delivery["state"] for delivery in case["deliveries"]} == {"sent"}
            return case

        case = await eventually(delivered)
        assert failed == {"/alerts", "/slack"}
        await shop.work(case["id"], "note", note=word)
        await shop.work(case["id"], "assign", owner=word)
        await shop.work(case["id"], "dismiss", reason=word)
        assert (await shop.customer(customer["id"]))["tier"] in ("Bronze", "Gold")

    async def _say_it_wrongly(self, word: str, product: Product, shop: Shop) -> None:
        """In requests and records that are refused."""
        for body in ({"score": word}, {"score": 1, word: 1}, {"score": 1, "customer": {"email": word}}):
            assert (await shop.post("/v1/responses", body)).status_code == 422
        assert (await shop.post("/v1/orders", {"type": word})).status_code == 422
        assert (await shop.amend(word, score=99)).status_code == 422
        assert (await shop.http.get(f"{product.urls['segmenter']}/v1/customers/{word}")).status_code == 404
        said = await shop.http.post(
            f"{product.urls['collector']}/v1/responses",
            content=f'{{"score": 1, "comment": "{word}',
            headers={"Content-Type": "application/json"},
        )
        assert said.status_code == 400
        assert word not in said.text
        await self._send_poison(word, product)

    async def _send_poison(self, word: str, product: Product) -> None:
        """Records that are no events, and one that is but holds what PostgreSQL cannot store."""
        producer = AIOKafkaProducer(bootstrap_servers=product.demo["kafka_bootstrap"])
        await producer.start()
        try:
            headers = [("ce_id", word.encode()), ("ce_type", b"response.submitted.v1")]
            for comment in (f'"{word}', f'"{word}\\u0000"'):
                body = POISON % {"id": secrets.token_hex(4), "word": word, "comment": comment}
                await producer.send_and_wait(RESPONSES, body.encode(), key=word.encode(), headers=headers)
        finally:
            await producer.stop()
