"""`closeloop up`: the whole product on this machine."""

import asyncio
import contextlib
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli import CommandError, copy_findings
from cli.config import mistakes_of_sections
from deploy.local import demo_store
from deploy.local.home import SERVICES, Home
from deploy.local.product import Product
from deploy.local.services import service_environment
from shared.config import ConfigError, load
from shared.kafka.log_identity import ADOPT

COLOURS = {
    "kafka": "magenta",
    "postgres": "blue",
    "collector": "green",
    "scorer": "cyan",
    "segmenter": "yellow",
    "notifier": "bright_red",
}
# The services share one host behind an ingress, so each has its documentation at a path of its own.
DOCS = {name: "/docs" if name == "collector" else f"/docs/{name}" for name in SERVICES}
NAME_WIDTH = max(map(len, COLOURS))


def up() -> None:
    """Start Kafka, PostgreSQL and the four services with a demo store, and keep them running.

    Ctrl-C stops everything and keeps the data. The data is in $CLOSELOOP_HOME (default .closeloop), the
    first of four ports is $CLOSELOOP_PORT (default 8001). KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL
    replace the embedded parts.
    """
    terminal = _Terminal()
    home = Home.from_environment()
    with home.locked():
        _check_config(home)
        if not (disk := copy_findings.disk(home)).ok:
            terminal.say(f"{disk.found}. {disk.remedy}")
        product = Product(home, say=terminal.say, show=terminal.show, prepare=demo_store.prepare)
        try:
            product.fetch()
            asyncio.run(product.run(terminal.ready))
        except KeyboardInterrupt:
            terminal.say("Stopped")
            sys.exit(130)


def _check_config(home: Home) -> None:
    """Read the file as the services will, before an engine starts. CommandError with every mistake."""
    environment = service_environment(home, kafka_bootstrap="", database_url="")
    path = Path(environment["CLOSELOOP_CONFIG"])
    try:
        mistakes = mistakes_of_sections(load(path, environment))
    except ConfigError as error:
        mistakes = error.mistakes
    if mistakes:
        raise CommandError(
            "\n".join(f"{path}, {mistake}" for mistake in mistakes), remedy="No service starts with it."
        )


class _Terminal:
    """Prints; a terminal that went away must not end the product."""

    def __init__(self) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """A sentence of the supervisor."""
        self._print(Text(f"{'closeloop':<{NAME_WIDTH}} | ", style="bold") + Text(text))

    def show(self, name: str, line: str) -> None:
        """A line that a part wrote."""
        prefix = Text(f"{name:<{NAME_WIDTH}} | ", style=COLOURS.get(name, "white"))
        self._print(prefix + Text.from_ansi(line))

    def ready(self, product: Product) -> None:
        """What to open and what to paste."""
        self.say(f"Ready after {time.monotonic() - self._started:.1f} s")
        self._print(Text(welcome(product)))
        if product.undecided:
            self._print(Text(decision(product), style="red"))

    def _print(self, text: Text) -> None:
        with contextlib.suppress(OSError):
            self._console.print(text)


def decision(product: Product) -> str:
    """What an operator has to decide before the services go on: why, who waits, and the command."""
    # The end of each reason names the command, which is said below.
    reasons = dict.fromkeys(
        fault
        for why in product.undecided.values()
        for reason in why
        for fault in reason.split("; ")
        if ADOPT not in fault
    )
    return f"""
The log and the database disagree, so these wait for you: {", ".join(product.undecided)}.
{chr(10).join(f"  {reason}" for reason in reasons)}

What was applied is safe in PostgreSQL. In another terminal look, then go on with the logs that Kafka has:

  .venv/bin/closeloop topics adopt --dry-run
  .venv/bin/closeloop topics adopt
"""


def welcome(product: Product) -> str:
    """The text shown when everything is ready."""
    credentials, home = product.credentials, product.home
    if credentials is None:
        return ""
    services = "\n".join(f"  {name:<10} {home.url(name)}{docs}" for name, docs in DOCS.items())
    key = f"-H 'Authorization: Bearer {credentials.secret_key}'"
    return f"""
Closeloop is running on the demo store. The interfaces of the four services:

{services}

Sign in at {home.url("notifier")}/login as {credentials.user} with the password {credentials.password}
(also {", ".join(email for email, _, _ in demo_store.PEOPLE)}); everything a script needs: {home.demo_file}

In another terminal `.venv/bin/closeloop listen` shows each alert as it arrives: start it before the answers.

Send five answers, each of another customer (the 2 is low: its customer becomes a case):

  for s in 10 9 9 7 '2, "comment": "It came late"'; do i=$((i+1)); curl -s \
{home.url("collector")}/v1/responses {key} -H 'Content-Type: application/json' \
-d '{{"metric": "nps", "customer": {{"id": "visitor-'$i'"}}, "segments": {{"country": "NL"}}, \
"score": '"$s"'}}'; echo; done

Read the score, which the first answer makes already (with a wide interval), and the case:

  curl -s '{home.url("scorer")}/v1/scores?metric=nps&window=30d' {key}

  curl -s {home.url("notifier")}/v1/cases {key}

`make demo` in another terminal sends lifelike traffic and shows the alerts. Ctrl-C here stops everything and
keeps the data.
"""
