"""The product with lifelike traffic, and a real Prometheus and Alertmanager beside it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.home import Home
from deploy.local.observing import RULES, Observers
from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop
from tests.observability.server import Prometheus

CONFIG = Path(__file__).with_name("closeloop.yaml")
SIGNING_SECRET = "whsec_dGhlIGpvdXJuZXlzIHNpZ24gd2l0aCB0aGlzIG9uZQ=="


@pytest.fixture(scope="session")
def tools(need: Callable[..., None]) -> None:
    """Leaves out what needs a real Prometheus or Alertmanager where they are not installed."""
    need("promtool", "amtool", "prometheus", "prometheus-alertmanager")


@pytest.fixture(scope="package")
async def receiver() -> AsyncIterator[Receiver]:
    """Takes the alerts of the product under /alerts, those of Alertmanager under /ops."""
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="package")
async def product(
    tools: None, tmp_path_factory: pytest.TempPathFactory, receiver: Receiver
) -> AsyncIterator[Product]:
    product = Product(
        tmp_path_factory.mktemp("observed") / "home",
        config=CONFIG,
        CLOSELOOP_ALERTS_URL=receiver.url("/alerts"),
        CLOSELOOP_ALERTS_SECRET=SIGNING_SECRET,
        NOTIFIER_RETRY_SCALE="0.1",
    )
    async with product.running():
        yield product


@pytest.fixture(scope="session")
def quick_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules of production but for their patience: every `for` is 2 s, nothing is kept firing."""
    folder = tmp_path_factory.mktemp("rules")
    for file in RULES.glob("*.yml"):
        text = re.sub(r"(?m)^(\s+for:) \w+$", r"\1 2s", file.read_text())
        (folder / file.name).write_text(re.sub(r"(?m)^\s+keep_firing_for: \w+\n", "", text))
    return folder


@pytest.fixture(scope="package")
async def prometheus(product: Product, receiver: Receiver, quick_rules: Path) -> AsyncIterator[Prometheus]:
    """Scrapes the four services every second."""
    home = Home.from_environment(product.environment)
    observers = Observers(
        home,
        product.urls,
        alerts_url=receiver.url("/ops"),
        rules=quick_rules,
        interval_seconds=1,
        group_wait_seconds=3,
    )
    try:
        await asyncio.to_thread(observers.start)
        async with httpx.AsyncClient(base_url=observers.prometheus_url, trust_env=False) as http:
            prometheus = Prometheus(http)
            await eventually(prometheus.sees_all)
            yield prometheus
    finally:
        await asyncio.to_thread(observers.stop)


@pytest.fixture(scope="package")
async def traffic(product: Product, prometheus: Prometheus) -> AsyncIterator[Shop]:
    """Answers, orders, a case from open to closed, refusals and a poison record; then a little every second.

    Prometheus was there first, so that it has seen everything rise from nothing.
    """
    async with Shop(product.urls, product.demo["secret_key"], market="watched") as shop:
        await _a_day(product, shop)
        going_on = asyncio.create_task(_for_ever(shop))
        yield shop
        going_on.cancel()


async def _a_day(product: Product, shop: Shop) -> None:
    for n, score in enumerate((10, 9, 9, 8, 2, 10)):
        segments = {"country": "NL", "city": f"c{n}"}
        await shop.answer(score, channel="web" if n % 2 else "email", segments=segments)
    for score in (3, 9):  # of two answers the score is hidden
        await shop.answer(score, segments={"country": "DE"})
    for n in range(20):
        await shop.answer(9, segments={"country": "NL", "city": f"d{n}"})
    again = shop.body(10) | {"response_id": f"twice-{uuid4().hex}"}
    for body in (again, again, again | {"score": 0}):
        await shop.post("/v1/responses", body)
    assert (await shop.post("/v1/responses", {"score": 11})).status_code == 422
    customer = shop.somebody()
    placed = {"placed_at": "2026-01-05T10:00:00Z", "value": 500, "currency": "EUR", "customer": customer}
    await shop.order("placed", id=f"o-{uuid4().hex}", **placed)
    await shop.answer(1, customer=customer)
    case = await eventually(lambda: shop.case_of(customer), within_seconds=60)
    for action, body in {
        "contact": {"note": "Called."},
        "resolve": {"root_cause": "late", "outcome": "recovered"},
        "close": {},
        "reopen": {},
    }.items():
        done = await shop.work(case["id"], action, **body)
        assert done.status_code == 200, done.text
    producer = AIOKafkaProducer(bootstrap_servers=product.demo["kafka_bootstrap"])
    await producer.start()
    try:
        await producer.send_and_wait("feedback.responses.v1", b"not an event", key=b"poison")
    finally:
        await producer.stop()


async def _for_ever(shop: Shop) -> None:
    while True:
        for score in (10, 7, 4):
            await shop.answer(score, segments={"country": "NL", "city": "c0"})
        await shop.post("/v1/responses", {"score": 11})
        await asyncio.sleep(0.5)


@pytest.fixture(scope="session")
def rule_files() -> Iterator[list[Path]]:
    yield sorted(RULES.glob("*.yml"))
