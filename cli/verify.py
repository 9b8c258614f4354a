"""`closeloop verify`: whether every accepted answer is counted once, and all scores and tiers are right."""

import json
from typing import Any

import typer
from rich.console import Console

from cli import CommandError, product
from cli.progress import ReportProgress, progress
from services.scorer import operations as scorer
from services.segmenter import operations as segmenter

STATEMENT_TIMEOUT_SECONDS = 600
SHOWN = 10


def verify(as_json: bool = typer.Option(False, "--json", help="The whole report as JSON.")) -> None:
    """Recount every score and tier from the stored facts, and follow every accepted answer.

    accepted = counted + test + conflict + dead + retracted + erased. Exit code 1 if the books do not balance.
    """
    with progress(quiet=as_json) as report_progress:
        report, wrong = product.run(_verify(report_progress))
    balanced = report.balanced and not wrong
    if as_json:
        typer.echo(json.dumps(_as_json(report, wrong, balanced=balanced), indent=2))
    else:
        _print(report, wrong)
    if not balanced:
        raise CommandError(
            "The books do not balance",
            remedy="`closeloop rebuild` writes derived state anew; what is missing is in docs/runbook.md.",
        )


async def _verify(report_progress: ReportProgress) -> tuple[scorer.VerifyReport, list[Any]]:
    config = product.config()
    async with product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database:
        report = await scorer.verify(database, config, product.kafka_bootstrap(), progress=report_progress)
        report_progress("customers", 0, 0)
        wrong = await segmenter.verify(database, segmenter.read_rules(config))
    return report, list(wrong)


def _as_json(report: scorer.VerifyReport, wrong: list[Any], *, balanced: bool) -> dict[str, Any]:
    return {
        "balanced": balanced,
        "scorer": {
            "balanced": report.balanced,
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


def _print(report: scorer.VerifyReport, wrong: list[Any]) -> None:
    console = Console(soft_wrap=True, highlight=False)

    def line(good: bool, text: str) -> None:
        console.print("[green]ok   [/green]" if good else "[red]WRONG[/red]", end=" ")
        console.print(text, markup=False)

    fates = " + ".join(f"{count} {fate}" for fate, count in sorted(report.fates.items()) if count)
    followed = not report.fates["missing"] and sum(report.fates.values()) == report.accepted
    line(followed, f"accepted {report.accepted} = {fates or '0'}")
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
