"""The words of the report: shares, periods and verdicts, and the weekly message in ten lines."""

from datetime import tzinfo

from services.notifier.report.domain import Period, Share
from services.notifier.report.figures import Report
from services.notifier.report.query import PATH
from shared.config.stores import Store
from shared.feedback.comparison import Verdict
from shared.feedback.nps import Interval
from shared.pages.wording import MISSING, full_moment, span

VERDICTS = {
    Verdict.TOO_FEW: "too few to compare",
    Verdict.HIGHER: "higher",
    Verdict.LOWER: "lower",
    Verdict.BORDERLINE: "borderline",
    Verdict.NO_DIFFERENCE: "no clear change",
}

AGES = {
    "under_4h": "under 4 h",
    "4h_to_1d": "4 h to 1 day",
    "1d_to_3d": "1 to 3 days",
    "3d_to_7d": "3 to 7 days",
    "over_7d": "over 7 days",
}


def share_percent(share: Share) -> str:
    """`86%`: a whole number, rounded half up; a dash for a share of nothing."""
    value = share.percent
    return MISSING if value is None else f"{_whole(value)}%"


def share_counts(share: Share) -> str:
    """`142 of 165`."""
    return f"{share.count:,} of {share.of:,}"


def interval(bounds: Interval | None) -> str:
    """`80 to 91%`; a dash for None."""
    return MISSING if bounds is None else f"{_whole(bounds.lo)} to {_whole(bounds.hi)}%"


def _whole(value: float) -> int:
    return int(value + 0.5)


def period_name(period: Period, zone: tzinfo) -> str:
    """`October 2026`, `Quarter 3 of 2026`, `30 days up to 26 Nov 2026, 14:32`, or from when to when."""
    start = period.start.astimezone(zone)
    kind, _, _ = period.name.partition(":")
    if kind == "month":
        return f"{start:%B %Y}"
    if kind == "quarter":
        return f"Quarter {(start.month + 2) // 3} of {start.year}"
    if kind in ("7d", "30d"):
        return f"{kind.removesuffix('d')} days up to {full_moment(period.end, zone)}"
    return f"{full_moment(period.start, zone)} to {full_moment(period.end, zone)}"


def before_name(period: Period, zone: tzinfo) -> str:
    """What the period is compared with: `the 30 days before`, `September`."""
    kind, _, _ = period.name.partition(":")
    start = period.before.astimezone(zone)
    if kind == "month":
        return f"{start:%B}"
    if kind == "quarter":
        return f"quarter {(start.month + 2) // 3}"
    if kind in ("7d", "30d"):
        return f"the {kind.removesuffix('d')} days before"
    return "the same length before"


def clock_name(business: int, cases: int) -> str:
    """By which clock the cases ran: `business` of them in working hours, the others around the clock."""
    if not business:
        return "Around the clock"
    return "Working hours" if business == cases else "Each by its own clock"


_OLDER_THAN_3_DAYS = ("3d_to_7d", "over_7d")


def ten_lines(report: Report, store_config: Store) -> list[tuple[str, str]]:
    """The weekly message: (sentence, address of the page behind it), at most ten."""
    page = f"{PATH}?store={report.query.store}{_period_fields(report)}"
    inbox = f"/inbox?store={report.query.store}"
    contacts, ended = report.contacts, report.ended
    period_before = before_name(report.query.period, store_config.zone)
    clock = clock_name(contacts.business, contacts.opened).lower()
    return [
        (
            f"{contacts.opened:,} cases opened, {ended.closed:,} closed, {report.reopenings:,} reopened, "
            f"{ended.dismissed:,} dismissed.",
            page,
        ),
        (
            f"Open now: {report.now.open:,}, of these {report.now.unassigned:,} with nobody and "
            f"{sum(report.now.ages[age] for age in _OLDER_THAN_3_DAYS):,} older than 3 days.",
            inbox,
        ),
        (
            f"First contact: median {span(contacts.median, tenths=True)}, "
            f"9 of 10 within {span(contacts.nine_of_ten, tenths=True)} ({clock}).",
            page,
        ),
        (
            f"Time to close: median {span(ended.median, tenths=True)}, "
            f"9 of 10 within {span(ended.nine_of_ten, tenths=True)}.",
            page,
        ),
        (
            f"Contacted in time: {share_percent(report.contacted_in_time)}, "
            f"{share_counts(report.contacted_in_time)} "
            f"(95% interval {interval(report.contacted_in_time.ci95)}).",
            page,
        ),
        (
            f"Resolved in time: {share_percent(report.resolved_in_time)}, "
            f"{share_counts(report.resolved_in_time)}.",
            page,
        ),
        (
            f"Recovered: {report.noted.count:,} as noted, {report.proved.count:,} proved by the next answer, "
            f"of {report.proved.of:,} who answered again.",
            page,
        ),
        (
            f"Reopened: {share_percent(report.reopened)}, {share_counts(report.reopened)} closed; "
            f"{share_percent(report.reopened_before)} in {period_before}, "
            f"{VERDICTS[report.reopened_verdict]}.",
            page,
        ),
        (_causes(report), page),
        (_alerts(report), page),
    ]


def _period_fields(report: Report) -> str:
    period = report.query.period
    if period.name.startswith(("month:", "quarter:")) or period.name in ("7d", "30d"):
        return f"&period={period.name}"
    return f"&from={period.start:%Y-%m-%dT%H:%M:%SZ}&to={period.end:%Y-%m-%dT%H:%M:%SZ}"


def _causes(report: Report) -> str:
    """The three most frequent root causes, and those that come back month after month."""
    if not report.causes or not report.ended.closed:
        return "Root causes: nothing was closed."
    frequent = [
        f"{cause.cause or 'none given'} {cause.cases:,}" for cause in report.causes[:3] if cause.cases
    ]
    recurring = [cause.cause for cause in report.causes if cause.recurring and cause.cause]
    text = f"Root causes: {', '.join(frequent)}."
    return f"{text} Comes back: {', '.join(recurring[:3])}." if recurring else text


def _alerts(report: Report) -> str:
    sent = sum(channel.alerts_made for channel in report.channels)
    dead = sum(channel.dead for channel in report.channels)
    return f"Alerts: {sent:,} sent, {dead:,} never arrived." if sent else "Alerts: none."
