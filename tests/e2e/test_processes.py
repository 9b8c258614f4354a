"""The supervisor keeps the parts running, and ends them when it is told to."""

import asyncio
import signal
import time
from pathlib import Path

import psutil

from tests.e2e.conftest import CONFIG
from tests.e2e.eventually import eventually
from tests.e2e.product import SERVICES, Product
from tests.e2e.shop import Shop


class TestAService:
    async def test_that_is_killed_starts_again_with_its_pid_told(self, product: Product, shop: Shop) -> None:
        before = product.demo["pids"]
        product.process("notifier").kill()
        customer = shop.somebody()
        await shop.answer(0, customer=customer)  # nobody else waits for it

        def again() -> bool:
            if product.demo["pids"]["notifier"] == before["notifier"]:
                return False
            return "services.notifier" in product.process("notifier").cmdline()

        await eventually(again)
        assert {**product.demo["pids"], "notifier": 0} == {**before, "notifier": 0}
        await eventually(lambda: product.is_ready("notifier"), within_seconds=60)
        await eventually(lambda: shop.case_of(customer), within_seconds=60)

    async def test_ends_within_10_seconds_of_a_sigterm(self, product: Product, shop: Shop) -> None:
        async def ready() -> bool:
            return all([await product.is_ready(service) for service in SERVICES])

        await eventually(ready, within_seconds=90)
        await shop.answer(0)
        running = {service: product.process(service) for service in SERVICES}
        started = time.monotonic()
        for process in running.values():
            process.terminate()
        for service, process in running.items():
            gone = asyncio.to_thread(psutil.wait_procs, [process], 10)
            assert (await gone)[0], f"{service} still runs after {time.monotonic() - started:.0f} s"

        await eventually(ready, within_seconds=90)
        text = product.output.read_text()
        assert all(f"{service} ended (code 0)" in text for service in SERVICES)


class TestTheProduct:
    async def test_stops_on_ctrl_c_and_keeps_what_it_knows(self, product: Product, shop: Shop) -> None:
        customer = shop.somebody()
        await shop.answer(9)
        await shop.answer(1, customer=customer)
        await product.caught_up()
        before, demo = await shop.counts(), product.demo
        assert before == (1, 0, 1)
        pids = demo["pids"].values()

        assert await product.stop(signal.SIGINT) == 0
        assert not product.is_up()
        assert [pid for pid in pids if psutil.pid_exists(pid)] == []

        await product.start()
        assert {**product.demo, "pids": 0} == {**demo, "pids": 0}
        assert await shop.counts() == before
        assert (await shop.case_of(customer))["status"] == "open"
        await shop.answer(10)

        async def goes_on() -> bool:
            assert await shop.counts() == (2, 0, 1)
            return True

        await eventually(goes_on)

    async def test_refuses_a_configuration_with_a_mistake_and_says_its_line(self, tmp_path: Path) -> None:
        config = tmp_path / "closeloop.yaml"
        config.write_text(CONFIG.read_text().replace("policy: latest", "policy: newest"))
        line = next(n for n, text in enumerate(config.read_text().splitlines(), 1) if "newest" in text)
        nowhere = "http://127.0.0.1:9/"
        refused = Product(
            tmp_path / "home", config=config, CLOSELOOP_ALERTS_URL=nowhere, CLOSELOOP_SLACK_URL=nowhere
        )
        refused.spawn()
        try:
            assert await refused.ended(60) != 0
        finally:
            refused.kill()
        assert f"line {line}" in refused.output.read_text()
        assert not refused.is_up()
