"""The drill of `CloseloopServiceDown`: the scorer is killed, stays down, somebody is told, it comes back."""

import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psutil

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop
from tests.observability.server import Prometheus

DOWN = ("CloseloopServiceDown", "closeloop-scorer")


@asynccontextmanager
async def killed(product: Product, service: str) -> AsyncIterator[None]:
    """Gone by SIGKILL; then its port is somebody else's, so that the supervisor cannot start it again."""
    place = ("127.0.0.1", urlsplit(product.urls[service]).port)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def took_its_port() -> bool:
            with contextlib.suppress(psutil.NoSuchProcess):  # one that was started again is killed again
                product.process(service).kill()
            try:
                squatter.bind(place)
                squatter.listen(0)
            except OSError:
                return False
            return True

        await eventually(took_its_port)
        yield


def told(receiver: Receiver, status: str) -> set[tuple[str, str, str]]:
    """(path, alert, job) of what Alertmanager sent."""
    return {
        (message.path, alert["labels"]["alertname"], alert["labels"].get("job", ""))
        for message in receiver.alerts
        if message.path.startswith("/ops")
        for alert in message.body["alerts"]
        if alert["status"] == status
    }


async def test_a_killed_scorer_is_told_on_call_and_told_again_when_it_is_back(
    product: Product, prometheus: Prometheus, receiver: Receiver, traffic: Shop
) -> None:
    """The rules are those of production with `for: 2s` in place of minutes (`quick_rules`)."""
    assert DOWN not in await prometheus.firing()

    async with killed(product, "scorer"):
        await eventually(lambda: ("/ops/page", *DOWN) in told(receiver, "firing"), within_seconds=40)
        # The service that is gone is the reason of all else about it: one page, not three.
        pages = {alert for path, alert, job in told(receiver, "firing") if "page" in path and job == DOWN[1]}
        assert pages == {"CloseloopServiceDown"}
        firing = await prometheus.firing()
        assert {job for alert, job in firing if alert == DOWN[0]} == {"closeloop-scorer"}

    await eventually(lambda: ("/ops/page", *DOWN) in told(receiver, "resolved"), within_seconds=60)
    # "Verify fixed" of its page.
    await eventually(lambda: product.is_ready("scorer"), within_seconds=30)
    await product.caught_up("scorer")
    assert DOWN not in await prometheus.firing()
