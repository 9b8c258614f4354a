"""The drill of `CloseloopAlertsHeld`: all alerts are held, on call hears of it, they are let go."""

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop
from tests.observability.server import Prometheus

HELD = ("CloseloopAlertsHeld", "closeloop-notifier")
COUNTED_SECONDS = 60
"""Every 15 s one replica looks; then come a scrape, `for: 2s` (`quick_rules`) and Alertmanager."""


def paged(receiver: Receiver, status: str) -> bool:
    return any(
        (alert["labels"]["alertname"], alert["labels"].get("job")) == HELD
        for message in receiver.alerts
        if message.path == "/ops/page"
        for alert in message.body["alerts"]
        if alert["status"] == status
    )


async def test_held_alerts_page_until_they_are_let_go(
    product: Product, prometheus: Prometheus, receiver: Receiver, traffic: Shop
) -> None:
    async def held() -> float:
        return await product.metric("notifier", "closeloop_deliveries_held", reason="operator")

    assert (await product.command("deliveries", "hold")).code == 0
    try:
        await eventually(held, within_seconds=COUNTED_SECONDS)
        await eventually(lambda: paged(receiver, "firing"), within_seconds=COUNTED_SECONDS)
        status = await product.command("deliveries", "status")
        assert "Held since 2" in status.output
        assert "an operator holds them" in status.output
    finally:
        assert (await product.command("deliveries", "release")).code == 0

    await eventually(lambda: paged(receiver, "resolved"), within_seconds=COUNTED_SECONDS)
    # "Verify fixed" of its page.
    assert not await held()
    assert not await prometheus.query("max by (reason) (closeloop_deliveries_held) == 1")
    assert (await product.command("deliveries", "status")).output.startswith("Not held.")
