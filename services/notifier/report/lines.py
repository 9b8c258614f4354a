"""The report in ten lines, for the weekly message."""

from services.notifier.report.figures import Report
from services.notifier.report.wording import (
    VERDICTS,
    before_name,
    clock_name,
    counted,
    interval,
    percent,
    span,
)
from shared.config.stores import Store

_OVERDUE_AGES = ("3d_to_7d", "over_7d")


def ten_lines(report: Report, store: Store) -> list[tuple[str, str]]:
    """(sentence, path of the page behind it), at most ten."""
    page = f"/inbox/report?store={report.asked.store}{_period(report)}"
    inbox = f"/inbox?store={report.asked.store}"
    contacts, ended = report.contacts, report.ended
    clock = clock_name(contacts.business, contacts.opened).lower()
    return [
        (
            f"{contacts.opened:,} cases opened, {ended.closed:,} closed, {report.reopenings:,} reopened, "
            f"{ended.dismissed:,} dismissed.",
            page,
        ),
        (
            f"Open now: {report.now.open:,}, of these {report.now.unassigned:,} with nobody and "
            f"{sum(report.now.ages[age] for age in _OVERDUE_AGES):,} older than 3 days.",
            inbox,
        ),
        (
            f"First contact: median {span(contacts.median)}, 9 of 10 within {span(contacts.nine_of_ten)} "
            f"({clock}).",
            page,
        ),
        (f"Time to close: median {span(ended.median)}, 9 of 10 within {span(ended.nine_of_ten)}.", page),
        (
            f"Contacted in time: {percent(report.contacted_in_time)}, {counted(report.contacted_in_time)} "
            f"(95% interval {interval(report.contacted_in_time.ci95)}).",
            page,
        ),
        (f"Resolved in time: {percent(report.resolved_in_time)}, {counted(report.resolved_in_time)}.", page),
        (
            f"Recovered: {report.noted.count:,} as noted, {report.proved.count:,} proved by the next answer, "
            f"of {report.proved.of:,} who answered again.",
            page,
        ),
        (
            f"Reopened: {percent(report.reopened)}, {counted(report.reopened)} closed; "
            f"{percent(report.reopened_before)} in {before_name(report.asked.period, store.zone)}, "
            f"{VERDICTS[report.reopened_verdict]}.",
            page,
        ),
        (_causes(report), page),
        (_alerts(report), page),
    ]


def _period(report: Report) -> str:
    period = report.asked.period
    if period.name.startswith(("month:", "quarter:")) or period.name in ("7d", "30d"):
        return f"&period={period.name}"
    return f"&from={period.start:%Y-%m-%dT%H:%M:%SZ}&to={period.end:%Y-%m-%dT%H:%M:%SZ}"


def _causes(report: Report) -> str:
    """The three most frequent, and what comes back."""
    if not report.causes or not report.ended.closed:
        return "Root causes: nothing was closed."
    named = [f"{cause.cause or 'none given'} {cause.cases:,}" for cause in report.causes[:3] if cause.cases]
    back = [cause.cause for cause in report.causes if cause.recurring and cause.cause]
    text = f"Root causes: {', '.join(named)}."
    return f"{text} Comes back: {', '.join(back[:3])}." if back else text


def _alerts(report: Report) -> str:
    made = sum(channel.made for channel in report.channels)
    dead = sum(channel.dead for channel in report.channels)
    return f"Alerts: {made:,} sent, {dead:,} never arrived." if made else "Alerts: none."
