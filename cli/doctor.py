"""`closeloop doctor`: what is wrong with this machine, this copy or this installation, and what to do."""

import json
from dataclasses import asdict
from importlib.util import find_spec

import typer
from rich.console import Console

from cli.findings import Finding
from deploy.local.home import Home


def doctor(as_json: bool = typer.Option(False, "--json", help="The findings as JSON.")) -> None:
    """Say what is wrong and what to do. Exit code 1 if anything is.

    With the embedded parts: the copy of `make run` on this machine. Without them, as in the image: the
    configuration, PostgreSQL and Kafka of the installation that the environment names.
    """
    findings = _examine()
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _examine() -> list[Finding]:
    """Every check, in the order in which a start would stumble."""
    if find_spec("psutil") is None:
        from cli import installation_findings  # noqa: PLC0415 - only one of the two can be imported everywhere

        return installation_findings.examine()
    from cli import copy_findings  # noqa: PLC0415 - needs the embedded parts

    return copy_findings.examine(Home.from_environment())


def _print(findings: list[Finding]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        console.print("[green]ok   [/green]" if finding.ok else "[red]WRONG[/red]", end=" ")
        console.print(f"{finding.check:<10} {finding.found}", markup=False)
        if not finding.ok:
            console.print(f"      {'':<10} {finding.remedy}", markup=False)
