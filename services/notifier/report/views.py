"""What the report page shows of a report: its histogram, and the rows of its tables in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from urllib.parse import urlencode

from services.notifier.cases.domain.case import Outcome
from services.notifier.cases.domain.rules import Rule
from services.notifier.cases.wording import OUTCOME_LABELS, channel_label, channel_sign
from services.notifier.deliveries.settings import Channel
from services.notifier.deliveries.store import ChannelHealth
from services.notifier.report.domain import FIRST_CONTACT_HOURS
from services.notifier.report.figures import CauseFigures, Report
from services.notifier.report.query import PATH, ReportQuery, fixed_fields, query_string
from services.notifier.report.store import ChannelDeliveries
from shared.pages.wording import MISSING, span

_BASE, _TALLEST, _LABEL_ABOVE = 184.0, 139.4, 7.0
"""Pixels of the histogram: where the bars stand, how tall one may be, how far its label is above it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the histogram. `look`: the class of its colour.

    x, width and middle are in percent, y and height in pixels, so that it stretches and text stays legible.
    """

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
    """A line of the histogram where a promised time ends; `x` and `text_x` in percent, `top` in pixels."""

    text: str
    x: str
    text_x: str
    anchor: str
    top: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """`label`: all of it in words. `looks`: for each colour the class of its swatch, and what it means."""

    bars: tuple[Bar, ...]
    promises: tuple[Promise, ...]
    label: str
    looks: tuple[tuple[str, str], ...]


def histogram(counts: Sequence[int], rules: Sequence[Rule]) -> Histogram:
    """First contacts by the hours of FIRST_CONTACT_HOURS, coloured by the promises of the store's rules."""
    names = _bar_names()
    strictest, loosest = _strictest_and_loosest(rules)
    step = 100 / len(counts)
    most = max(*counts, 1)
    bars = []
    for index, (name, cases) in enumerate(zip(names, counts, strict=True)):
        height = round(_TALLEST * cases / most, 1)
        bars.append(
            Bar(
                name,
                cases,
                _look(index, strictest[0], loosest),
                x=f"{index * step + 1:.2f}%",
                width=f"{step - 2:.2f}%",
                middle=f"{(index + 0.5) * step:.2f}%",
                y=round(_BASE - height, 1),
                height=height,
                label_y=round(_BASE - height - _LABEL_ABOVE, 1),
            )
        )
    label = ". ".join(f"{name} hours: {cases} cases" for name, cases in zip(names, counts, strict=True))
    return Histogram(tuple(bars), _lines(strictest, loosest, step), f"{label}.", _looks(strictest, loosest))


def _bar_names() -> list[str]:
    hours = FIRST_CONTACT_HOURS
    return [f"under {hours[0]}", *(f"{a}–{b}" for a, b in pairwise(hours)), f"over {hours[-1]}"]


def _strictest_and_loosest(rules: Sequence[Rule]) -> tuple[tuple[float, str], float]:
    """The strictest promise with its priority, and the one that holds for every case."""
    promises = [(rule.first_contact_hours, rule.priority.value) for rule in rules]
    promises.append((24.0, "normal"))
    return min(promises), max(hours for hours, _ in promises)


def _look(index: int, strictest: float, loosest: float) -> str:
    """The colour of a bar: in time for every case, late for some, or late for every case."""
    edges = FIRST_CONTACT_HOURS
    if index < len(edges) and edges[index] <= strictest:
        return "bar"
    low = edges[index - 1] if index else 0
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
    late_for_some = (("sw-warn", f"Late for {strictest[1]} cases"),) if strictest[0] < loosest else ()
    return (("sw-accent", "In time for every case"), *late_for_some, ("sw-danger", "Late for every case"))


@dataclass(frozen=True, slots=True)
class Choice:
    """A period to choose, as a link."""

    text: str
    href: str
    current: bool


def periods(query: ReportQuery, zone: tzinfo) -> list[Choice]:
    """7 days, 30 days, the last whole month and the last whole quarter; and the current one beside them."""
    local = query.now.astimezone(zone)
    month = local.replace(day=1) - timedelta(days=1)
    quarter = local.replace(day=1, month=local.month - (local.month - 1) % 3) - timedelta(days=1)
    labels = {
        "7d": "7 days",
        "30d": "30 days",
        f"month:{month:%Y-%m}": f"{month:%B}",
        f"quarter:{quarter.year}-Q{(quarter.month + 2) // 3}": f"Quarter {(quarter.month + 2) // 3}",
    }
    current = query.period.name
    if not current:
        labels = {"": "Chosen days"} | labels
    elif current not in labels:
        labels[current] = current.partition(":")[2]
    changes = {name: {"period": name, "from": "", "to": ""} if name else {} for name in labels}
    return [
        Choice(label, f"{PATH}?{query_string(query, **changes[name])}", name == current)
        for name, label in labels.items()
    ]


@dataclass(frozen=True, slots=True)
class CauseRow:
    """A root cause. `width`: of its bar, in percent. `inform_href`: the list of the customers to inform."""

    name: str
    cases: int
    width: str
    change: int
    seen: str
    rising: bool
    customers_to_inform: int
    inform_href: str


def cause_rows(report: Report) -> list[CauseRow]:
    """The root causes of closed cases, the most frequent first."""
    most = max((cause.cases for cause in report.causes), default=0) or 1
    return [_cause_row(report.query, cause, most) for cause in report.causes if cause.cases or cause.before]


def _cause_row(query: ReportQuery, cause: CauseFigures, most: int) -> CauseRow:
    fields = urlencode(fixed_fields(query, cause.cause))
    return CauseRow(
        cause.cause or "None given",
        cause.cases,
        f"{100 * cause.cases / most:.2f}%",
        cause.change,
        f"{cause.months} of {cause.of_months} months" if cause.recurring else "",
        cause.recurring and cause.change > 0,
        cause.customers_to_inform,
        f"{PATH}/tell?{fields}" if cause.customers_to_inform else "",
    )


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """An outcome of closed cases. `width`: of its bar, in percent; `look`: the class of its colour."""

    name: str
    cases: int
    width: str
    look: str


_OUTCOME_LOOKS = {
    Outcome.RECOVERED: "f-promoter",
    Outcome.UNRESOLVED: "f-detractor",
    Outcome.NO_RESPONSE: "bar-muted",
    Outcome.CHURNED: "f-detractor",
    Outcome.NOT_ACTIONABLE: "bar-muted",
}
"""The class of each bar's colour, in the order of the bars."""


def outcome_rows(report: Report) -> list[OutcomeRow]:
    """Every outcome, also one that no case had."""
    most = max(report.outcomes.values(), default=0) or 1
    return [
        OutcomeRow(
            OUTCOME_LABELS[outcome],
            report.outcomes.get(outcome, 0),
            f"{100 * report.outcomes.get(outcome, 0) / most:.2f}%",
            look,
        )
        for outcome, look in _OUTCOME_LOOKS.items()
    ]


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel and its alerts. `look`, `sign` and `state` make its badge; `may_test`: it is on."""

    name: str
    label: str
    icon: str
    alerts_made: int
    delivered: int
    digested: int
    retrying: int
    dead: int
    median: str
    slowest: str
    look: str
    sign: str
    state: str
    may_test: bool


def channel_rows(
    deliveries: Sequence[ChannelDeliveries],
    channels: Mapping[str, Channel],
    health: Mapping[str, ChannelHealth],
    zone: tzinfo,
) -> list[ChannelRow]:
    """The channels of the store, and those that the configuration lost but the period used."""
    by_name = {counts.channel: counts for counts in deliveries}
    names = [*channels, *(name for name in by_name if name not in channels)]
    return [
        _channel_row(name, by_name.get(name), channels.get(name), health.get(name, ChannelHealth()), zone)
        for name in names
    ]


def _channel_row(
    name: str,
    deliveries: ChannelDeliveries | None,
    channel: Channel | None,
    health: ChannelHealth,
    zone: tzinfo,
) -> ChannelRow:
    look, sign, state = _state(deliveries, channel, health, zone)
    return ChannelRow(
        name,
        channel_label(name, channel),
        channel_sign(channel),
        deliveries.alerts_made if deliveries else 0,
        deliveries.delivered if deliveries else 0,
        deliveries.digested if deliveries else 0,
        deliveries.retrying if deliveries else 0,
        deliveries.dead if deliveries else 0,
        span(deliveries.median, tenths=True) if deliveries else MISSING,
        span(deliveries.slowest, tenths=True) if deliveries else MISSING,
        look,
        sign,
        state,
        channel is not None and channel.on,
    )


def _state(
    deliveries: ChannelDeliveries | None, channel: Channel | None, health: ChannelHealth, zone: tzinfo
) -> tuple[str, str, str]:
    """The look, the sign and the words of a channel's badge."""
    if channel is None or not channel.on:
        return "", "pause", "Off" if channel else "No longer configured"
    if health.paused_until:
        return "danger", "alert", f"Paused until {_clock(health.paused_until, zone)}"
    if health.retrying or (deliveries and deliveries.retrying):
        until = f", next {_clock(deliveries.next_at, zone)}" if deliveries and deliveries.next_at else ""
        return "warn", "refresh", f"Retrying{until}"
    if deliveries and deliveries.dead:
        why = deliveries.last_status or deliveries.last_error or "no answer"
        return "danger", "alert", f"{deliveries.dead:,} gave up: {str(why)[:60]}"
    return ("ok", "check", "Healthy") if deliveries and deliveries.delivered else ("", "", MISSING)


def _clock(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%H:%M}"
