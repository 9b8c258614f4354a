"""The product that a command works on: what the environment names, else the copy that `make run` started."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog

from cli import CommandError
from deploy.local import demo_file
from deploy.local.home import PROJECT, Home
from shared.config import Config, ConfigError, load
from shared.config.secrets import Secrets
from shared.db import Database, is_transient, sqlstate
from shared.kafka import Brokers
from shared.kafka.topics import TopicError

T = TypeVar("T")

_SCHEMA_MISSING = ("42P01", "3F000")
_NO_ENTRY = ("28000", "28P01", "3D000")


def demo() -> dict[str, Any]:
    """The content of `demo.json`; CommandError while no product runs here."""
    home = Home.from_environment()
    content = demo_file.read(home.demo_file)
    if content is None:
        raise CommandError(
            f"Closeloop is not running from {home.root}",
            remedy="Start it with `make run`, or set CLOSELOOP_HOME to the folder of a copy that runs.",
        )
    return content


def database_url() -> str:
    """DATABASE_URL, else that of the running copy."""
    return _named("DATABASE_URL", "database_url", "the PostgreSQL of an installation")


def kafka_bootstrap() -> Brokers:
    """KAFKA_BOOTSTRAP_SERVERS and how to sign in there, as a service reads them; else the running copy's."""
    ca_file = os.environ.get("KAFKA_CA_FILE")
    return Brokers(
        _named("KAFKA_BOOTSTRAP_SERVERS", "kafka_bootstrap", "the Kafka of an installation"),
        os.environ.get("KAFKA_USERNAME", ""),
        os.environ.get("KAFKA_PASSWORD", ""),
        Path(ca_file) if ca_file else None,
    )


def secrets() -> Secrets:
    """From CLOSELOOP_SECRET (else that of the running copy) and CLOSELOOP_SIGNING_SECRET, as services do."""
    signing = os.environ.get("CLOSELOOP_SIGNING_SECRET", "")
    if root_secret := os.environ.get("CLOSELOOP_SECRET"):
        return Secrets(root_secret, signing)
    file = Home.from_environment().root / "secret"
    try:
        return Secrets(file.read_text(encoding="ascii").strip(), signing)
    except OSError as error:
        raise CommandError(
            f"There is no root secret: CLOSELOOP_SECRET is not set and {file} is not there",
            remedy="Set CLOSELOOP_SECRET to the one that the services have.",
        ) from error


def config_path() -> Path:
    """CLOSELOOP_CONFIG, else `closeloop.yaml` here, else the one that ships."""
    if path := os.environ.get("CLOSELOOP_CONFIG"):
        return Path(path)
    here = Path("closeloop.yaml")
    return here if here.exists() else PROJECT / "closeloop.yaml"


def config() -> Config:
    """The checked file; CommandError with its first mistake."""
    try:
        return load(config_path())
    except ConfigError as error:
        raise CommandError(
            f"{error.path}, {error.mistakes[0]}", remedy="`closeloop config check` prints every mistake."
        ) from None


def require_store(name: str) -> None:
    """CommandError unless the configuration has this store."""
    stores = config().stores
    if name not in stores:
        raise CommandError(
            f"{config_path()} has no store {name!r}", remedy=f"It has: {', '.join(sorted(stores))}."
        )


@asynccontextmanager
async def database(*, statement_timeout_seconds: float = 30) -> AsyncIterator[Database]:
    """A small pool of its own, closed at the end."""
    opened = Database(
        database_url(),
        pool_size=2,
        statement_timeout_seconds=statement_timeout_seconds,
        application="closeloop-cli",
    )
    try:
        yield opened
    finally:
        await opened.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work; a PostgreSQL or Kafka that is away becomes one sentence."""
    if not structlog.is_configured():
        # What the services' own code has to say is for their logs; here the output is the command's.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return asyncio.run(work)
    except CommandError:
        raise
    except TopicError as error:
        raise CommandError(str(error), remedy=_hint("KAFKA_BOOTSTRAP_SERVERS")) from error
    except Exception as error:
        state = sqlstate(error)
        if state in _SCHEMA_MISSING:
            raise CommandError(
                "The database lacks the tables of this version", remedy="Run `closeloop migrate`."
            ) from error
        if state in _NO_ENTRY:
            raise CommandError("PostgreSQL refuses the login", remedy=_hint("DATABASE_URL")) from error
        if is_transient(error):
            reason = f"SQLSTATE {state}" if state else type(error).__name__
            raise CommandError(
                f"PostgreSQL does not answer as it should ({reason})", remedy=_hint("DATABASE_URL")
            ) from error
        raise


def _hint(variable: str) -> str:
    if os.environ.get(variable):
        return f"Check {variable}, and that it can be reached from here."
    return "`closeloop status` says how the running copy is doing."


def _named(variable: str, key: str, meaning: str) -> str:
    """The variable of the environment, else the value of `demo.json` under this key."""
    if value := os.environ.get(variable):
        return value
    try:
        return str(demo()[key])
    except CommandError as error:
        raise CommandError(str(error), remedy=f"{error.remedy} Or set {variable} to {meaning}.") from None
