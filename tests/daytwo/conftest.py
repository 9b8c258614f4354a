"""A copy of the product for each journey that takes it apart, and one for those that leave it as it was."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import CONFIG, SIGNING_SECRET
from tests.e2e.product import Product
from tests.e2e.receiver import Receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def product(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Product]:
    """Running and ready."""
    async with running(tmp_path / "home", receiver) as product:
        yield product


@pytest.fixture(scope="package")
async def kept_product(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    """For all journeys that leave it whole: a start takes longer than most of them."""
    async with Receiver() as receiver, running(tmp_path_factory.mktemp("kept") / "home", receiver) as product:
        yield product


@asynccontextmanager
async def running(home: Path, receiver: Receiver) -> AsyncIterator[Product]:
    """The product in this home, ready; stopped at the end."""
    product = Product(
        home,
        config=CONFIG,
        CLOSELOOP_ALERTS_URL=receiver.url("/alerts"),
        CLOSELOOP_ALERTS_SECRET=SIGNING_SECRET,
        CLOSELOOP_SLACK_URL="",
        SCORER_PUBLISH_INTERVAL_SECONDS="0.2",
        SEGMENTER_PUBLISH_INTERVAL_SECONDS="0.2",
        NOTIFIER_RETRY_SCALE="0.2",
    )
    async with AsyncExitStack() as stack:
        stack.callback(product.kill)
        await product.start()
        yield product
        if product.is_up():
            await product.stop()
