"""Which events orders and engagements become."""

from uuid import UUID, uuid4

from tests.integration.collector.running import Collector, Topic


class TestOrders:
    async def test_keep_their_amounts_exact(self, collector: Collector, orders: Topic) -> None:
        order_id = f"o-{uuid4()}"
        placed = b'{"type": "placed", "id": "%s", "placed_at": "2026-01-02T10:00:00+01:00", "value": 0.1,' % (
            order_id.encode()
        )
        placed += b' "currency": "EUR", "customer": {"email": "ada@example.com"}}'
        reply = collector.request("POST", "/v1/orders", placed)
        assert (reply.status, reply.json) == (202, {"order_id": order_id, "status": "accepted"})
        [written] = await orders.about(order_id)
        assert written.headers["ce_type"] == "order.placed.v1"
        assert written.body["value"] == "0.1"
        assert written.body["customer"]["ref"]

    async def test_are_delivered_and_refunded(self, collector: Collector, orders: Topic) -> None:
        order_id = f"o-{uuid4()}"
        moment = "2026-01-02T10:00:00Z"
        delivered = {"type": "delivered", "id": order_id, "delivered_at": moment}
        refunded = {
            "type": "refunded", "id": order_id, "refund_id": "rf-1", "refunded_at": moment,
            "amount": 999_999_999_999.9999, "currency": "EUR",
        }  # fmt: skip
        assert collector.request("POST", "/v1/orders", delivered).status == 202
        assert collector.request("POST", "/v1/orders", refunded).status == 202
        first, second = await orders.about(order_id, count=2)
        assert first.headers["ce_type"] == "order.delivered.v1"
        assert second.body["amount"] == "999999999999.9999"
        assert first.key == second.key

    async def test_an_engagement_has_an_id_of_its_own_or_a_new_one(
        self, collector: Collector, orders: Topic
    ) -> None:
        body = {"kind": "review", "engaged_at": "2026-01-02T10:00:00Z", "customer": {"id": "c-1"}}
        new_id = collector.request("POST", "/v1/engagements", body).json["engagement_id"]
        assert UUID(new_id).version == 7
        own_id = f"e-{uuid4()}"
        collector.request("POST", "/v1/engagements", body, idempotency_key=own_id)
        [written] = await orders.about(own_id)
        assert written.headers["ce_type"] == "engagement.recorded.v1"
        assert written.body["kind"] == "review"
