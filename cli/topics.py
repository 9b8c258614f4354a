"""`closeloop topics`: the topics that the services need, and how the broker's differ."""

import json
from dataclasses import asdict

import typer
from rich.table import Table

from cli import CommandError, product
from cli.printing import print_table
from shared.kafka.topics import PARTITIONS, TopicState, describe, ensure


def topics(
    create: bool = typer.Option(False, "--create", help="Create those that are missing."),
    partitions: int = typer.Option(PARTITIONS, help="Partitions of a new topic.", min=1),
    replication: int = typer.Option(1, help="Copies of a new topic: 3 where answers must survive.", min=1),
    as_json: bool = typer.Option(False, "--json", help="The topics as JSON."),
) -> None:
    """Show the topics. Exit code 1 when one is missing or differs; what exists is never changed."""
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
