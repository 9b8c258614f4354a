from collections.abc import AsyncIterator, Iterator

import pytest

from shared.access import Scope
from tests.integration.collector.running import Collector, Topic, make_key, start


@pytest.fixture(scope="package")
async def tokens(database_url: str) -> tuple[str, str]:
    """A secret and a public key of the store."""
    return (
        await make_key(database_url, "secret", Scope.RESPONSES_WRITE),
        await make_key(database_url, "public"),
    )


@pytest.fixture(scope="package")
def collector(
    bootstrap: str, database_url: str, tokens: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collector]:
    """With every setting at its default but one: all tests together are one client."""
    running = start(
        tmp_path_factory.mktemp("collector"),
        bootstrap,
        database_url,
        tokens,
        client_rate_limit_per_second="0",
        unknown_keys_per_second="0",
    )
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="package")
def limited(
    bootstrap: str, database_url: str, tokens: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collector]:
    """With low limits."""
    running = start(
        tmp_path_factory.mktemp("limited"),
        bootstrap,
        database_url,
        tokens,
        requests_in_flight="4",
        receive_timeout_seconds="1",
        public_rate_limit_per_second="5",
    )
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="package")
def behind_a_proxy(
    bootstrap: str, database_url: str, tokens: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collector]:
    """With a proxy before it, as which the tests speak, and low limits for each client."""
    running = start(
        tmp_path_factory.mktemp("behind-a-proxy"),
        bootstrap,
        database_url,
        tokens,
        {"CLOSELOOP_PROXIES": "127.0.0.0/8"},
        client_rate_limit_per_second="10",
        unknown_keys_per_second="10",
    )
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="package")
async def responses(bootstrap: str) -> AsyncIterator[Topic]:
    topic = Topic(bootstrap, "feedback.responses.v1")
    await topic.open()
    yield topic
    await topic.close()


@pytest.fixture(scope="package")
async def orders(bootstrap: str) -> AsyncIterator[Topic]:
    topic = Topic(bootstrap, "commerce.orders.v1")
    await topic.open()
    yield topic
    await topic.close()
