"""What may be wrong with the installation that the environment names. Needs no embedded part."""

from collections.abc import Callable

from cli import CommandError, product
from cli.config import mistakes_of_sections
from cli.findings import Finding, clock, python
from shared.db import migrations
from shared.kafka.topics import describe

_MIGRATE = "Run `closeloop migrate` once, with this release."
_TOPICS = "`closeloop topics` shows them; with --create it creates what is missing."


def examine() -> list[Finding]:
    """What a service needs at its start, as this process sees it; it asks no service."""
    return [
        python(),
        clock(),
        _said("config", _config),
        _said("secret", _secret),
        _said("postgres", lambda: product.run(_schemas())),
        _said("kafka", lambda: product.run(_topics())),
    ]


def _said(check: str, look: Callable[[], str]) -> Finding:
    """What the look says, or its error as the finding."""
    try:
        return Finding(check, True, look())
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
