"""One real Kafka and one real PostgreSQL for each worker; how the tests are shared out to two of them."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import PurePosixPath

import pytest
import structlog
from hypothesis import settings
from jinja2.bccache import Bucket, BytecodeCache
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from deploy.local.stack import LocalStack
from shared.db import migrations
from shared.kafka import topics
from shared.ops import logs
from tests import system_tools
from tests.e2e.ports import ENGINES, share

# A field that is not declared raises. And no renderer that draws every local variable of every frame of a
# traceback, as structlog's default does: it takes seconds for each.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        logs.refuse_undeclared_fields,
        structlog.processors.KeyValueRenderer(),
    ]
)


# Every test that starts a process would have it compile all of our code again where this is set.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Hypothesis fails an example of over 200 ms by the clock, which also shows what the other worker does.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

# Kafka lives for seconds here: what the better of Java's compilers makes of it is never used. Half the CPU.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")

# Two workers start engines at any moment: in ranges of their own they cannot choose the same port.
os.environ["CLOSELOOP_ENGINE_PORTS"] = "{}-{}".format(*share(*ENGINES))

WORKERS = 2

TOGETHER = (
    ("tests/browser/",),
    ("tests/daytwo/test_republish", "tests/daytwo/test_root_secret", "tests/daytwo/test_runbook_commands"),
    ("tests/e2e/test_one_trace",),  # a product of its own
    ("tests/e2e/",),
    ("tests/integration/collector/",),
    ("tests/observability/",),
)
"""Files that share a product or a browser: one worker has all of them. The first that fits counts."""

LONGEST_FIRST = (
    "tests/e2e",
    "tests/daytwo",
    "tests/observability",
    "tests/faults",
    "tests/browser",
    "tests/integration/service",
    "tests/integration/kafka",
    "tests/integration/collector",
    "tests/integration/local",
    "tests/integration",
    "tests/deploy",
)
"""So that both workers end at nearly the same time; what is not named comes last."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long versions of the tests that have one")


# -- two workers (pytest-xdist), each with engines of its own


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Of `-n auto`: two for folders; named files are done sooner without a second start."""
    files = [argument for argument in config.args if ".py" in argument]
    return 0 if files else WORKERS


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    config.option.loadscopereorder = False  # not by the number of tests, but as collected
    return FilesAndFolders(config, log)


class FilesAndFolders(LoadScopeScheduling):
    """A worker is given a file, or the files that stand in `TOGETHER`, at a time."""

    def _split_scope(self, nodeid: str) -> str:
        return next(
            (" ".join(group) for group in TOGETHER if nodeid.startswith(group)), nodeid.partition("::")[0]
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.nodeid))


def _place(nodeid: str) -> int:
    file = PurePosixPath(nodeid.partition("::")[0])
    for place, prefix in enumerate(LONGEST_FIRST):
        if file.is_relative_to(prefix):
            return place
    return len(LONGEST_FIRST)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests recorded as their summary, and which tests were left out for want of a program."""
    _print_summaries(terminalreporter)
    _print_left_out(terminalreporter)


def _print_summaries(reporter: pytest.TerminalReporter) -> None:
    """The properties of a test come here from the workers too."""
    for outcome in ("passed", "failed"):
        for report in reporter.getreports(outcome):
            for name, line in getattr(report, "user_properties", ()):
                if name == "summary" and report.when == "call":
                    reporter.write_line(str(line))


def _print_left_out(reporter: pytest.TerminalReporter) -> None:
    """What a newcomer lacks, and the one line that brings it; a skipped test alone is easily overlooked."""
    skipped = reporter.stats.get("skipped", [])
    lines = list(system_tools.left_out((report.nodeid, report.longrepr[2]) for report in skipped))
    if lines:
        reporter.section("left out")
        for line in lines:
            reporter.line(line)


# -- what is made again and again


@pytest.fixture(scope="session")
def cheap_passwords() -> Iterator[None]:
    """Argon2 with the parameters of production takes a quarter of a second of CPU, by design.

    Of the processes that tests start nothing changes.
    """
    from shared.access import passwords

    quick = partial(passwords.PasswordHasher, time_cost=1, memory_cost=8 * 1024, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "PasswordHasher", quick)
        yield


@pytest.fixture(scope="session")
def compiled_templates() -> Iterator[None]:
    """A process compiles its templates once. Tests that make an application each would do it each time."""
    from shared.pages import pages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "Environment", partial(pages.Environment, bytecode_cache=CompiledTemplates()))
        yield


class CompiledTemplates(BytecodeCache):
    """In memory. A template whose text changed has another checksum, which jinja2 looks at."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


# -- the engines


@pytest.fixture(scope="session")
def need() -> Callable[..., None]:
    """`need("podman")` leaves the test out where that program is not installed."""

    def need(*tools: str) -> None:
        if lacking := system_tools.missing(tools):
            pytest.skip(system_tools.reason(lacking))

    return need


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Both engines. A test that kills or pauses one starts or resumes it again."""
    with LocalStack(tmp_path_factory.mktemp("stack"), fsync=False) as stack:
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
