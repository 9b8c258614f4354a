"""Progress bars on the terminal; a step gets its bar when it first reports."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

ReportProgress = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and how much there is in all (0: not known)."""


@contextmanager
def progress(*, quiet: bool) -> Iterator[ReportProgress]:
    """Bars on standard error for the length of the block, one a step; none where `quiet`, or in a file."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        steps: dict[str, TaskID] = {}

        def report_progress(step: str, done: int, total: int) -> None:
            if step not in steps:
                steps[step] = bars.add_task(step, total=None)
            bars.update(steps[step], completed=done, total=total or None)

        yield report_progress
