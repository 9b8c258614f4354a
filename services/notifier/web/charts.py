"""The histogram of first contacts as SVG: percent x and pixel y, so it stretches and text stays legible."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.notifier.report.domain import FIRST_CONTACT_HOURS
from services.notifier.settings import Alerts

_BASE, _TALLEST, _LABEL_ABOVE = 184.0, 139.4, 7.0


@dataclass(frozen=True, slots=True)
class Bar:
    """x, width and middle in percent, y and height in pixels. `look`: the class of its colour."""

    name: str
    cases: int
    look: str
    x: str
    width: str
    middle: str
    y: float
    height: float
    label_y: float


@dataclass(frozen=True, slots=True)
class Promise:
    """A line at the end of a promise; `x` and `text_x` in percent."""

    text: str
    x: str
    text_x: str
    anchor: str
    top: int


@dataclass(frozen=True, slots=True)
class Histogram:
    bars: tuple[Bar, ...]
    promises: tuple[Promise, ...]
    label: str
    looks: tuple[tuple[str, str], ...]
    """(swatch, what it means)"""


def histogram(counts: Sequence[int], alerts: Alerts) -> Histogram:
    """Bars of FIRST_CONTACT_HOURS, coloured by the promises of the store's rules."""
    names = _names()
    strictest, loosest = _promised(alerts)
    step = 100 / len(counts)
    most = max(*counts, 1)
    bars = []
    for place, (name, cases) in enumerate(zip(names, counts, strict=True)):
        height = round(_TALLEST * cases / most, 1)
        bars.append(
            Bar(
                name,
                cases,
                _look(place, strictest[0], loosest),
                x=f"{place * step + 1:.2f}%",
                width=f"{step - 2:.2f}%",
                middle=f"{(place + 0.5) * step:.2f}%",
                y=round(_BASE - height, 1),
                height=height,
                label_y=round(_BASE - height - _LABEL_ABOVE, 1),
            )
        )
    label = ". ".join(f"{name} hours: {cases} cases" for name, cases in zip(names, counts, strict=True))
    return Histogram(tuple(bars), _lines(strictest, loosest, step), f"{label}.", _looks(strictest, loosest))


def _names() -> list[str]:
    hours = FIRST_CONTACT_HOURS
    return [f"under {hours[0]}", *(f"{a}–{b}" for a, b in pairwise(hours)), f"over {hours[-1]}"]


def _promised(alerts: Alerts) -> tuple[tuple[float, str], float]:
    """The strictest promise with its priority, and the one that holds for every case."""
    promises = [(rule.first_contact_hours, rule.priority.value) for rule in alerts.domain_rules]
    promises.append((24.0, "normal"))
    return min(promises), max(hours for hours, _ in promises)


def _look(place: int, strictest: float, loosest: float) -> str:
    """In time for every case, late for some, or late for every case."""
    edges = FIRST_CONTACT_HOURS
    if place < len(edges) and edges[place] <= strictest:
        return "bar"
    low = edges[place - 1] if place else 0
    return "f-danger" if low >= loosest else "f-warn"


def _lines(strictest: tuple[float, str], loosest: float, step: float) -> tuple[Promise, ...]:
    """Where a promise ends between two bars; one that ends within a bar has no line."""
    lines = []
    hours, priority = strictest
    if hours in FIRST_CONTACT_HOURS and hours != loosest:
        x = (FIRST_CONTACT_HOURS.index(int(hours)) + 1) * step
        lines.append(
            Promise(f"promise for {priority}: {hours:g} h", f"{x:.2f}%", f"{x + 0.8:.2f}%", "start", 14)
        )
    if loosest in FIRST_CONTACT_HOURS:
        x = (FIRST_CONTACT_HOURS.index(int(loosest)) + 1) * step
        lines.append(Promise(f"promise for all: {loosest:g} h", f"{x:.2f}%", f"{x - 0.8:.2f}%", "end", 40))
    return tuple(lines)


def _looks(strictest: tuple[float, str], loosest: float) -> tuple[tuple[str, str], ...]:
    late = f"Late for {strictest[1]} cases"
    shown = [("sw-accent", "In time for every case")]
    if strictest[0] < loosest:
        shown.append(("sw-warn", late))
    return (*shown, ("sw-danger", "Late for every case"))
