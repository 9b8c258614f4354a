"""What `closeloop doctor` examines without the embedded parts: the installation that the environment
names."""

from collections.abc import Callable

from cli import CommandError, adopting, product
from cli.config import mistakes_of_sections
from cli.findings import Finding, clock, python
from shared.db import migrations
from shared.kafka.log_identity import DECIDE
from shared.kafka.topics import describe

_MIGRATE = "Run `closeloop migrate` once, with this release."
_TOPICS = "`closeloop topics` shows them; with --create it creates what is missing."


def examine() -> list[Finding]:
    """What a service needs at its start, as this process sees it; it asks no service."""
    return [
        python(),
        clock(),
        _finding("config", _config),
        _finding("secret", _secret),
        _finding("postgres", lambda: product.run(_schemas())),
        _finding("kafka", lambda: product.run(_topics())),
        _finding("logs", lambda: product.run(_logs())),
    ]


def _finding(check: str, examine_one: Callable[[], str]) -> Finding:
    """The result of a check as a finding; a CommandError becomes one that is not ok."""
    try:
        return Finding(check, True, examine_one())
    except CommandError as error:
        return Finding(check, False, str(error), error.remedy)


def _config() -> str:
    config = product.config()
    if mistakes := mistakes_of_sections(config):
        raise CommandError(
            f"{config.path}, {mistakes[0]}", remedy="`closeloop config check` prints every mistake."
        )
    return f"{config.path}, version {config.version}"


def _secret() -> str:
    product.secrets()
    return "CLOSELOOP_SECRET is set"


async def _schemas() -> str:
    url = product.database_url()
    for package in migrations.PACKAGES:
        try:
            await migrations.check(url, package)
        except migrations.SchemaBehind as error:
            raise CommandError(str(error), remedy=_MIGRATE) from None
    return "answers, and every schema is at the head of this code"


async def _topics() -> str:
    states = await describe(product.kafka_bootstrap())
    if missing := [state.name for state in states if not state.partitions]:
        raise CommandError(f"Missing: {', '.join(missing)}", remedy=_TOPICS)
    if differing := [state.name for state in states if state.differs]:
        raise CommandError(f"Not as the product needs them: {', '.join(differing)}", remedy=_TOPICS)
    return f"answers, and has the {len(states)} topics"


async def _logs() -> str:
    async with product.database() as database:
        misfits = await adopting.compare(database, product.kafka_bootstrap())
    if misfits:
        raise CommandError(
            "; ".join(dict.fromkeys(known.fault for known in misfits)),
            remedy=DECIDE,
        )
    return "every service knows the logs that Kafka has"
