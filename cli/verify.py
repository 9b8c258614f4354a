"""`closeloop verify`: whether every accepted answer is counted once, and all scores and tiers are right."""

import json
from typing import Any

import typer
from rich.console import Console

from cli import CommandError, adopting, product
from cli.adopting import KnownLog
from cli.progress import ReportProgress, progress
from services.scorer import operations as scorer
from services.segmenter import operations as segmenter
from shared.kafka.log_identity import ADOPT

STATEMENT_TIMEOUT_SECONDS = 600
SHOWN = 10


def verify(as_json: bool = typer.Option(False, "--json", help="The whole report as JSON.")) -> None:
    """Recount every score and tier from the stored facts, and follow every accepted answer.

    accepted = counted + test + conflict + dead + retracted + erased. Exit code 1 if the books do not balance.
    """
    with progress(quiet=as_json) as report_progress:
        report, wrong, logs = product.run(_verify(report_progress))
    balanced = report.balanced and not wrong and not logs
    if as_json:
        typer.echo(json.dumps(_as_json(report, wrong, logs, balanced=balanced), indent=2))
    else:
        _print(report, wrong, logs)
    if logs:
        raise CommandError(
            "The services read other logs than those that Kafka has; what is there now was not read",
            remedy=f"`{ADOPT}` shows it and goes on; docs/runbook.md, 'The log and the database disagree'.",
        )
    if not balanced:
        raise CommandError(
            "The books do not balance",
            remedy="`closeloop rebuild` writes derived state anew; what is missing is in docs/runbook.md.",
        )


async def _verify(report_progress: ReportProgress) -> tuple[scorer.VerifyReport, list[Any], list[KnownLog]]:
    config = product.config()
    async with product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database:
        report = await scorer.verify(database, config, product.kafka_bootstrap(), progress=report_progress)
        report_progress("customers", 0, 0)
        wrong = await segmenter.verify(database, segmenter.read_rules(config))
        logs = await adopting.compare(database, product.kafka_bootstrap())
    return report, list(wrong), logs


def _as_json(
    report: scorer.VerifyReport, wrong: list[Any], logs: list[KnownLog], *, balanced: bool
) -> dict[str, Any]:
    return {
        "balanced": balanced,
        "logs": [known.as_json() for known in logs],
        "scorer": {
            "balanced": report.balanced,
            "log_faults": report.log_faults,
            "adoptions": [moment.isoformat() for moment in report.adoptions],
            "unread": report.unread,
            "accepted": report.accepted,
            "fates": dict(report.fates),
            "dead_changes": report.dead_changes,
            "unreadable": report.unreadable,
            "answers": report.answers,
            "misplaced": report.misplaced,
            "bucket_faults": [fault._asdict() for fault in report.bucket_faults],
            "hour_faults": [fault._asdict() for fault in report.hour_faults],
            "latest_faults": report.latest_faults,
            "refused_changes": report.refused_changes,
        },
        "segmenter": {"wrong_customers": [list(key) for key in wrong]},
    }


def _print(report: scorer.VerifyReport, wrong: list[Any], logs: list[KnownLog]) -> None:
    console = Console(soft_wrap=True, highlight=False)

    def line(good: bool, text: str) -> None:
        console.print("[green]ok   [/green]" if good else "[red]WRONG[/red]", end=" ")
        console.print(text, markup=False)

    for log_fault, services in _by_fault(logs).items():
        line(False, f"{log_fault} ({', '.join(services)})")
    if report.adoptions:
        moment = f"{report.adoptions[-1]:%Y-%m-%d %H:%M:%S} UTC"
        line(True, f"the log was adopted anew at {moment}: what the log before held is not followed")
    fates = " + ".join(f"{count} {fate}" for fate, count in sorted(report.fates.items()) if count)
    followed = not report.fates["missing"] and sum(report.fates.values()) == report.accepted
    if report.log_faults:
        line(False, "no accepted answer could be followed: the scorer has not read the log that is there")
    else:
        line(followed, f"accepted {report.accepted} = {fates or '0'}")
        if report.unread:
            line(True, f"{report.unread} records of the log are still to be read")
    if report.dead_changes:
        line(
            True, f"{report.dead_changes} amendments and retractions are dead letters: `closeloop dead list`"
        )
    if report.refused_changes:
        line(True, f"{report.refused_changes} amended scores are impossible for their answer: refused")
    if report.unreadable:
        line(True, f"{report.unreadable} records cannot be read at all: `closeloop dead list`")
    line(not report.bucket_faults, f"{len(report.bucket_faults)} buckets differ from their answers")
    line(not report.hour_faults, f"{len(report.hour_faults)} counted hours differ from their answers")
    for fault in [*report.bucket_faults, *report.hour_faults][:SHOWN]:
        console.print(f"      {fault}", markup=False)
    line(
        not report.misplaced,
        f"{len(report.misplaced)} of {report.answers} answers are counted elsewhere than today's rules say",
    )
    line(not report.latest_faults, f"{report.latest_faults} wrong marks of a respondent's last answer")
    line(not wrong, f"{len(wrong)} customers differ from the fold of their facts")


def _by_fault(logs: list[KnownLog]) -> dict[str, list[str]]:
    """Each fault once, with the services that met it."""
    faults: dict[str, list[str]] = {}
    for known in logs:
        services = faults.setdefault(known.fault, [])
        if known.service not in services:
            services.append(known.service)
    return faults
