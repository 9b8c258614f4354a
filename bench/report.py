"""What a part found, as tables for people and as JSON for machines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

Cell = str | float | int | None


@dataclass(slots=True)
class Goal:
    """One goal of the product and where it stands. `limit` is the most (or the least) that reaches it."""

    what: str
    limit: float
    value: float
    unit: str = ""
    at_least: bool = False

    @property
    def ratio(self) -> float:
        """The value as a multiple of the limit."""
        return self.value / self.limit

    @property
    def reached(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(slots=True)
class Figures:
    """What was measured: one row a thing that was compared."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)


@dataclass(slots=True)
class Part:
    """One part of the benchmark. `checks` says whether the work was really done."""

    name: str
    figures: list[Figures] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "goals": [
                {
                    "what": goal.what,
                    "limit": goal.limit,
                    "at_least": goal.at_least,
                    "value": goal.value,
                    "unit": goal.unit,
                    "ratio": goal.ratio,
                    "reached": goal.reached,
                }
                for goal in self.goals
            ],
            "figures": [
                {"title": f.title, "rows": [dict(zip(f.columns, row, strict=True)) for row in f.rows]}
                for f in self.figures
            ],
            "checks": self.checks,
            "notes": self.notes,
        }


def show(part: Part, console: Console) -> None:
    """Print one part: its figures, its goals, its checks."""
    console.rule(part.name, align="left")
    for figures in part.figures:
        table = Table(title=figures.title, title_justify="left", title_style="", header_style="")
        for index, column in enumerate(figures.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in figures.rows:
            table.add_row(*[_text(cell) for cell in row])
        console.print(table)
    if part.goals:
        console.print(_goals(part.goals))
    for check, held in part.checks.items():
        console.print(f"{'ok ' if held else 'NOT'} {check}", highlight=False)
    for note in part.notes:
        console.print(f"  - {note}", highlight=False)
    console.print()


def _goals(goals: Sequence[Goal]) -> Table:
    table = Table(header_style="")
    table.add_column("goal")
    for column in ("limit", "value", "value / limit", "reached"):
        table.add_column(column, justify="right")
    for goal in goals:
        sign = "≥" if goal.at_least else "≤"
        table.add_row(
            goal.what,
            f"{sign} {_text(goal.limit)} {goal.unit}".rstrip(),
            f"{_text(goal.value)} {goal.unit}".rstrip(),
            f"{goal.ratio:.2f}",
            "yes" if goal.reached else "no",
        )
    return table


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "–"
        case int():
            return f"{cell:,}"
        case float() if abs(cell) >= 1000:
            return f"{cell:,.0f}"
        case float() if abs(cell) >= 100:
            return f"{cell:.0f}"
        case float() if abs(cell) >= 10:
            return f"{cell:.1f}"
        case float():
            return f"{cell:.2f}"
    return cell
