"""One real Kafka and one real PostgreSQL for the whole run."""

import asyncio
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest
import structlog

from deploy.local.stack import LocalStack
from shared.db import migrations
from shared.kafka import topics
from tests import system_tools

# structlog's default draws every local variable of every frame of a traceback: seconds for each.
structlog.configure(processors=[structlog.stdlib.add_log_level, structlog.processors.KeyValueRenderer()])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long version of the fault journey")


@pytest.fixture(scope="session")
def need() -> Callable[..., None]:
    """`need("podman")` leaves the test out where that program is not installed."""

    def need(*tools: str) -> None:
        if lacking := system_tools.missing(tools):
            pytest.skip(system_tools.reason(lacking))

    return need


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a newcomer lacks, and the one line that brings it; a skipped test alone is easily overlooked."""
    skipped = terminalreporter.stats.get("skipped", [])
    lines = list(system_tools.left_out((report.nodeid, report.longrepr[2]) for report in skipped))
    if lines:
        terminalreporter.section("left out")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Both engines. A test that kills or pauses one starts or resumes it again."""
    with LocalStack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def bootstrap(stack: LocalStack) -> str:
    """Kafka's address, with the product's topics."""
    asyncio.run(topics.ensure(stack.kafka.bootstrap, partitions=2))
    return stack.kafka.bootstrap


@pytest.fixture(scope="session")
def database_url(stack: LocalStack) -> str:
    """PostgreSQL's address, with the migrations of every package that has any."""

    async def migrate() -> None:
        for package in migrations.PACKAGES:
            if find_spec(f"{package}.migrations") is not None:
                await migrations.migrate(stack.postgres.url, package)

    asyncio.run(migrate())
    return stack.postgres.url
