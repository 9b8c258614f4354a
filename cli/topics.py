"""`closeloop topics`: the topics that the services need, how the broker's differ, and which logs they are."""

import json
import sys
from dataclasses import asdict
from typing import Any

import typer
from rich.table import Table

from cli import CommandError, adopting, product
from cli.adopting import Adoption, KnownLog
from cli.printing import print_table
from shared.events.topics import TOPICS
from shared.kafka.topics import PARTITIONS, TopicState, describe, ensure

app = typer.Typer()


@app.callback(invoke_without_command=True)
def topics(
    context: typer.Context,
    create: bool = typer.Option(False, "--create", help="Create those that are missing."),
    partitions: int = typer.Option(PARTITIONS, help="Partitions of a new topic.", min=1),
    replication: int = typer.Option(1, help="Copies of a new topic: 3 where answers must survive.", min=1),
    as_json: bool = typer.Option(False, "--json", help="The topics as JSON."),
) -> None:
    """Show the topics. Exit code 1 when one is missing or differs; what exists is never changed."""
    if context.invoked_subcommand:
        return
    bootstrap = product.kafka_bootstrap()
    if create:
        product.run(ensure(bootstrap, partitions=partitions, replication=replication))
    states = product.run(describe(bootstrap))
    if as_json:
        typer.echo(json.dumps([asdict(state) for state in states], indent=2))
    else:
        _print(states)
    missing = [state.name for state in states if not state.partitions]
    differing = [state.name for state in states if state.differs]
    if missing:
        raise CommandError(
            f"Missing: {', '.join(missing)}", remedy="`closeloop topics --create` creates what is missing."
        )
    if differing:
        raise CommandError(
            f"Not as the product needs them: {', '.join(differing)}",
            remedy="Set them with kafka-configs.sh; the product never changes a topic that exists.",
        )


@app.command()
def adopt(
    names: list[str] = typer.Argument(None, metavar="[TOPIC]...", help="Only these; by default all."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what would change."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    as_json: bool = typer.Option(False, "--json", help="What differs and what was done, as JSON."),
) -> None:
    """Go on with the logs that Kafka has, from their start, where the services know others.

    For topics that were deleted and made anew, a Kafka whose data was lost, and stored offsets outside of a
    log. Answers that were counted before stay counted, a repeat changes nothing; what the lost log held
    unread is lost. Halted consumers go on by themselves within seconds. Who adopted what is in the table
    `adopted_logs` of each service.
    """
    if unknown := sorted(set(names or ()) - {topic.name for topic in TOPICS}):
        raise CommandError(
            f"The product has no topic {', '.join(unknown)}", remedy="`closeloop topics` lists them."
        )
    compared = product.run(_compare())
    misfits = [known for known in compared if not names or known.topic in names]
    others = sorted({known.topic for known in compared if known not in misfits})
    unlike = product.run(adopting.unlike(product.kafka_bootstrap(), {known.topic for known in misfits}))
    if not as_json:
        _print_differences(misfits, names or [], others)
        for sentence in unlike:
            typer.echo(sentence)
    if not misfits or dry_run:
        if as_json:
            _print_json(misfits, None, others=others, unlike=unlike)
        return
    if not yes and not _confirmed(as_json=as_json):
        raise CommandError("Nothing was changed", remedy="With --yes it does not ask.")
    done = product.run(_adopt({known.topic for known in misfits}))
    if as_json:
        _print_json(misfits, done, others=others, unlike=unlike)
        return
    typer.echo(f"Adopted: {', '.join(done.topics)}. Halted consumers go on within seconds.")
    for service, states in done.republished.items():
        typer.echo(f"{states} states will be published again by the running {service}.")
    typer.echo("Then `closeloop status` and `closeloop verify`.")


def _confirmed(*, as_json: bool) -> bool:
    return sys.stdin.isatty() and not as_json and typer.confirm("Go on with the logs that Kafka has?")


async def _compare() -> list[KnownLog]:
    async with product.database() as database:
        return await adopting.compare(database, product.kafka_bootstrap())


async def _adopt(names: set[str]) -> Adoption:
    async with product.database(statement_timeout_seconds=120) as database:
        return await adopting.adopt(database, product.kafka_bootstrap(), names)


def _print_json(
    misfits: list[KnownLog], done: Adoption | None, *, others: list[str], unlike: list[str]
) -> None:
    shown: dict[str, Any] = {
        "differences": [known.as_json() for known in misfits],
        "others": others,
        "settings": unlike,
        "lost": adopting.lost(misfits),
        "adopted": done.topics if done else [],
        "republished": done.republished if done else {},
    }
    typer.echo(json.dumps(shown, indent=2))


def _print_differences(misfits: list[KnownLog], names: list[str], others: list[str]) -> None:
    if not misfits:
        of = f" of {', '.join(names)}" if names else ""
        typer.echo(
            f"Nothing to adopt{of}: every service knows the logs that Kafka has{' there' if of else ''}."
        )
    else:
        _print_table(misfits)
    if others:
        typer.echo(f"Not named, and they differ too: {', '.join(others)}.")


def _print_table(misfits: list[KnownLog]) -> None:
    table = Table("topic", "service", "partition", "at offset", "of log", "Kafka's log", "holds", box=None)
    for known in sorted(misfits, key=lambda k: (k.topic, k.service, k.partition or 0)):
        first, end = known.bounds
        table.add_row(
            known.topic,
            known.service,
            "-" if known.partition is None else str(known.partition),
            str(known.stored.next_offset) if known.stored else "writes",
            str(known.known or "not known"),
            str(known.log.topic_id) if known.log else "missing",
            "-" if end is None else "empty" if first == end else f"{first} to {end}",
        )
    print_table(table)
    for sentence in adopting.lost(misfits):
        typer.echo(sentence)


def _print(states: list[TopicState]) -> None:
    table = Table("topic", "partitions", "state", box=None)
    for state in states:
        if not state.partitions:
            mark = "[red]missing[/red]"
        elif state.differs:
            mark = "[yellow]differs:[/yellow] " + ", ".join(state.differs)
        else:
            mark = "[green]ok[/green]"
        table.add_row(state.name, str(state.partitions or "-"), mark)
    print_table(table)
