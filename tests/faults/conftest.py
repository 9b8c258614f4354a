"""How long the fault journey is: `--long`, or FAULTS_SECONDS; and from which seed: FAULTS_SEED."""

import logging
import os

import pytest

SHORT_SECONDS = 32.0
LONG_SECONDS = 900.0
ROUND_SECONDS = 150.0
DEFAULT_SEED = 29
"""Of the short version, chosen for how much of the long one it has: the broker dies first and is restarted,
there are zombies, PostgreSQL is restarted, dies and is frozen; each service is killed, frozen and restarted.
"""

SECONDS_TO_START_AND_CHECK = 240


def seconds_of(config: pytest.Config) -> float:
    """In all."""
    default = LONG_SECONDS if config.getoption("--long", default=False) else SHORT_SECONDS
    return float(os.environ.get("FAULTS_SECONDS") or default)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long", default=False):
        dropped = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in dropped]
        config.hook.pytest_deselected(items=dropped)
    seconds = seconds_of(config)
    rounds = 1 + seconds // ROUND_SECONDS
    for item in items:
        if item.get_closest_marker("faults"):
            item.add_marker(pytest.mark.timeout(seconds + rounds * SECONDS_TO_START_AND_CHECK))


@pytest.fixture(autouse=True)
def quiet() -> None:
    """aiokafka tells of every connection that is refused, which is what happens here all the time."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    return seconds_of(request.config)


@pytest.fixture
def seed(seconds: float) -> int:
    """The first one; each round adds one."""
    given = os.environ.get("FAULTS_SEED")
    if given:
        return int(given)
    return DEFAULT_SEED if seconds <= SHORT_SECONDS else int.from_bytes(os.urandom(3))
