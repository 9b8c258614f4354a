"""One copy of the product for all journeys, with a receiver for its alerts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.product import Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop

CONFIG = Path(__file__).with_name("closeloop.yaml")
SIGNING_SECRET = "whsec_dGhlIGpvdXJuZXlzIHNpZ24gd2l0aCB0aGlzIG9uZQ=="


@pytest.fixture(scope="package")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="package")
async def product(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> AsyncIterator[Product]:
    """Running and ready. A journey that stops it starts it again."""
    product = Product(
        tmp_path_factory.mktemp("e2e") / "home",
        config=CONFIG,
        CLOSELOOP_ALERTS_URL=receiver.url("/alerts"),
        CLOSELOOP_ALERTS_SECRET=SIGNING_SECRET,
        CLOSELOOP_SLACK_URL=receiver.url("/slack"),
        # States are told at once, not at most every 5 s: the journeys wait for them.
        SCORER_PUBLISH_INTERVAL_SECONDS="0.2",
        SEGMENTER_PUBLISH_INTERVAL_SECONDS="0.2",
        NOTIFIER_RETRY_SCALE="0.2",
    )
    async with product.running():
        yield product


@pytest.fixture
async def shop(product: Product) -> AsyncIterator[Shop]:
    """The demo store, in a market of its own for each journey."""
    async with Shop(product.urls, product.demo["secret_key"]) as shop:
        yield shop


@pytest.fixture
def signing_secret() -> str:
    return SIGNING_SECRET
