"""What the report page shows: the histogram and the rows of its tables, in the order of its cards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from urllib.parse import urlencode

from services.notifier.cases.domain.case import Outcome
from services.notifier.cases.domain.rules import Rule
from services.notifier.cases.wording import OUTCOME_LABELS, channel_label, channel_sign
from services.notifier.deliveries.settings import Channel as ChannelSettings
from services.notifier.deliveries.store import Doing
from services.notifier.report.domain import FIRST_CONTACT_HOURS
from services.notifier.report.figures import Cause, Report
from services.notifier.report.query import PATH, Asked, query_of
from services.notifier.report.store import Channel
from shared.pages.wording import MISSING, span

# The histogram of first contacts as SVG: percent x and pixel y, so it stretches and text stays legible.

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


def histogram(counts: Sequence[int], rules: Sequence[Rule]) -> Histogram:
    """Bars of FIRST_CONTACT_HOURS, coloured by the promises of the store's rules."""
    names = _names()
    strictest, loosest = _promised(rules)
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


def _promised(rules: Sequence[Rule]) -> tuple[tuple[float, str], float]:
    """The strictest promise with its priority, and the one that holds for every case."""
    promises = [(rule.first_contact_hours, rule.priority.value) for rule in rules]
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


@dataclass(frozen=True, slots=True)
class Choice:
    """A period to choose, as a link."""

    text: str
    href: str
    current: bool


def periods(asked: Asked, zone: tzinfo) -> list[Choice]:
    """7 days, 30 days, the last whole month and the last whole quarter."""
    local = asked.now.astimezone(zone)
    month = local.replace(day=1) - timedelta(days=1)
    quarter = local.replace(day=1, month=local.month - (local.month - 1) % 3) - timedelta(days=1)
    names = {
        "7d": "7 days",
        "30d": "30 days",
        f"month:{month:%Y-%m}": f"{month:%B}",
        f"quarter:{quarter.year}-Q{(quarter.month + 2) // 3}": f"Quarter {(quarter.month + 2) // 3}",
    }
    current = asked.period.name
    if not current:
        names = {"": "Chosen days"} | names
    elif current not in names:
        names[current] = current.partition(":")[2]
    chosen = {name: {"period": name, "from": "", "to": ""} for name in names}
    return [
        Choice(
            text,
            f"{PATH}?{query_of(asked, **chosen[name])}" if name else f"{PATH}?{query_of(asked)}",
            name == current,
        )
        for name, text in names.items()
    ]


@dataclass(frozen=True, slots=True)
class CauseRow:
    """`width`: of its bar in percent; `tell`: where the customers to tell are, if there are any."""

    name: str
    cases: int
    width: str
    change: int
    seen: str
    rising: bool
    to_tell: int
    tell: str


def cause_rows(report: Report) -> list[CauseRow]:
    most = max((cause.cases for cause in report.causes), default=0) or 1
    return [_cause_row(report, cause, most) for cause in report.causes if cause.cases or cause.before]


def _cause_row(report: Report, cause: Cause, most: int) -> CauseRow:
    asked = report.asked
    tell = urlencode(
        {
            "store": asked.store,
            "cause": cause.cause,
            "from": asked.period.start.isoformat(),
            "to": min(asked.period.end, asked.now).isoformat(),
        }
        | ({"team": asked.team} if asked.team else {})
        | ({"priority": asked.priority.value} if asked.priority else {})
    )
    return CauseRow(
        cause.cause or "None given",
        cause.cases,
        f"{100 * cause.cases / most:.2f}%",
        cause.change,
        f"{cause.months} of {cause.of_months} months" if cause.recurring else "",
        cause.recurring and cause.change > 0,
        cause.to_tell,
        f"{PATH}/tell?{tell}" if cause.to_tell else "",
    )


@dataclass(frozen=True, slots=True)
class OutcomeRow:
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
    """`look`, `sign` and `state` make its badge; `may_test`: it is on."""

    name: str
    shown: str
    icon: str
    made: int
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
    sent: Sequence[Channel],
    channels: Mapping[str, ChannelSettings],
    doing: Mapping[str, Doing],
    zone: tzinfo,
) -> list[ChannelRow]:
    """The channels of the store, and those that are gone but were used in the period."""
    by_name = {channel.channel: channel for channel in sent}
    names = [*channels, *(name for name in by_name if name not in channels)]
    return [
        _channel_row(name, by_name.get(name), channels.get(name), doing.get(name, Doing()), zone)
        for name in names
    ]


def _channel_row(
    name: str, sent: Channel | None, channel: ChannelSettings | None, doing: Doing, zone: tzinfo
) -> ChannelRow:
    look, sign, state = _state(sent, channel, doing, zone)
    return ChannelRow(
        name,
        channel_label(name, channel),
        channel_sign(channel),
        sent.made if sent else 0,
        sent.delivered if sent else 0,
        sent.digested if sent else 0,
        sent.retrying if sent else 0,
        sent.dead if sent else 0,
        span(sent.median, tenths=True) if sent else MISSING,
        span(sent.slowest, tenths=True) if sent else MISSING,
        look,
        sign,
        state,
        channel is not None and channel.on,
    )


def _state(
    sent: Channel | None, channel: ChannelSettings | None, doing: Doing, zone: tzinfo
) -> tuple[str, str, str]:
    """Look, sign and words of the channel's badge."""
    if channel is None or not channel.on:
        return "", "pause", "Off" if channel else "No longer configured"
    if doing.paused_until:
        return "danger", "alert", f"Paused until {_clock(doing.paused_until, zone)}"
    if doing.retrying or (sent and sent.retrying):
        until = f", next {_clock(sent.next_at, zone)}" if sent and sent.next_at else ""
        return "warn", "refresh", f"Retrying{until}"
    if sent and sent.dead:
        why = sent.last_status or sent.last_error or "no answer"
        return "danger", "alert", f"{sent.dead:,} gave up: {str(why)[:60]}"
    return ("ok", "check", "Healthy") if sent and sent.delivered else ("", "", MISSING)


def _clock(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%H:%M}"
