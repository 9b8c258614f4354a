"""Tables on the terminal; whole lines where the output goes to a file or a pipe."""

from rich.console import Console
from rich.table import Table

WIDTH_WITHOUT_TERMINAL = 250


def print_table(table: Table) -> None:
    """Fit it to the terminal; cut nothing where there is none."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    console.print(table)
