"""What the report page shows, in its words and the order of its cards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from urllib.parse import urlencode

from services.notifier.deliveries.settings import Channel as ChannelSettings
from services.notifier.deliveries.settings import Kind
from services.notifier.report import Asked, Cause, Report
from services.notifier.report.wording import MISSING, span
from services.notifier.store.channels import Doing
from services.notifier.store.workload import Channel

PATH = "/inbox/report"


@dataclass(frozen=True, slots=True)
class Choice:
    """A period to choose, as a link."""

    text: str
    href: str
    current: bool


def query_of(asked: Asked, **given: str) -> str:
    """The query that names this report; what is given replaces or adds."""
    period = asked.period
    named: dict[str, str] = {"store": asked.store}
    if period.name:
        named["period"] = period.name
    else:
        named |= {"from": period.start.isoformat(), "to": period.end.isoformat()}
    named |= {"team": asked.team or "", "priority": asked.priority or ""}
    return urlencode({name: value for name, value in (named | given).items() if value})


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


_OUTCOMES = {
    "recovered": ("Recovered", "f-promoter"),
    "unresolved": ("Unresolved", "f-detractor"),
    "no_response": ("No response", "bar-muted"),
    "churned": ("Left us", "f-detractor"),
    "not_actionable": ("Nothing to act on", "bar-muted"),
}


def outcome_rows(report: Report) -> list[OutcomeRow]:
    most = max(report.outcomes.values(), default=0) or 1
    return [
        OutcomeRow(
            name, report.outcomes.get(key, 0), f"{100 * report.outcomes.get(key, 0) / most:.2f}%", look
        )
        for key, (name, look) in _OUTCOMES.items()
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


_ICONS = {Kind.SLACK: "hash", Kind.EMAIL: "mail", Kind.WEBHOOK: "hook"}
_KINDS = {Kind.SLACK: "Slack", Kind.EMAIL: "E-mail", Kind.WEBHOOK: "Webhook"}


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
        f"{_KINDS[channel.kind]} {name}" if channel else name,
        _ICONS[channel.kind] if channel else "hook",
        sent.made if sent else 0,
        sent.delivered if sent else 0,
        sent.digested if sent else 0,
        sent.retrying if sent else 0,
        sent.dead if sent else 0,
        span(sent.median) if sent else MISSING,
        span(sent.slowest) if sent else MISSING,
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
