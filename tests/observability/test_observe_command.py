"""`closeloop observe` as an operator has it."""

import asyncio
import re
import signal
import sys

import httpx

from cli.observe import lines_of
from tests.e2e.eventually import eventually
from tests.e2e.product import CLOSELOOP, ROOT, Product
from tests.observability.server import JOBS, Prometheus


async def test_watches_the_running_copy_and_stops_on_ctrl_c(product: Product, prometheus: Prometheus) -> None:
    """Beside the servers of the other tests: it gets a home of its own that knows the same copy."""
    home = product.home.with_name("observing")
    home.mkdir(exist_ok=True)
    (home / "demo.json").write_text((product.home / "demo.json").read_text())
    running = await asyncio.create_subprocess_exec(
        *CLOSELOOP,
        "observe",
        cwd=ROOT,
        env=product.environment | {"CLOSELOOP_HOME": str(home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        assert running.stdout
        async with asyncio.timeout(40):
            said = ""
            while "Ctrl-C" not in said:
                line = await running.stdout.readline()
                assert line, said
                said += line.decode()
        addresses = dict(re.findall(r"^(\w+) +(http://\S+)", said, re.MULTILINE))
        assert "deploy/grafana/dashboards" in said
        async with httpx.AsyncClient(base_url=addresses["Prometheus"], trust_env=False) as http:
            await eventually(Prometheus(http).sees_all)
            rules = (await http.get("/api/v1/rules")).json()["data"]["groups"]
            assert sum(len(group["rules"]) for group in rules) > 40
            assert {one["labels"]["job"] for one in await targets(http)} == JOBS
    finally:
        running.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(running.wait(), 20) == 0
    async with httpx.AsyncClient(trust_env=False) as http:
        for url in addresses.values():
            try:
                await http.get(url)
            except httpx.ConnectError:
                continue
            raise AssertionError(f"{url} still answers")


async def targets(http: httpx.AsyncClient) -> list[dict[str, dict[str, str]]]:
    said = (await http.get("/api/v1/targets")).json()
    return said["data"]["activeTargets"]


async def test_says_what_to_install_where_prometheus_is_not(product: Product) -> None:
    running = await asyncio.create_subprocess_exec(
        *CLOSELOOP,
        "observe",
        cwd=ROOT,
        env=product.environment | {"PATH": "/nonexistent"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(running.communicate(), 30)
    assert running.returncode == 1
    assert "apt-get install --no-install-recommends prometheus prometheus-alertmanager" in errors.decode()


def test_an_alert_is_one_line_with_its_page() -> None:
    alert = {
        "status": "firing",
        "labels": {"alertname": "CloseloopServiceDown", "severity": "page"},
        "annotations": {"summary": "No replica of closeloop-scorer answers Prometheus"},
    }
    (line,) = lines_of({"alerts": [alert]})
    assert line.endswith(
        "firing   page   CloseloopServiceDown: No replica of closeloop-scorer answers Prometheus"
        "  docs/runbooks/CloseloopServiceDown.md"
    )
    assert lines_of({"something": "else"}) == [] == lines_of([sys.path])
