"""The report as CSV (RFC 4180): one figure a line, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import pairwise

from services.notifier.report.domain import FIRST_CONTACT_HOURS, Share
from services.notifier.report.figures import Report
from shared.feedback.nps import round1

Cell = str | int | float | None
Row = tuple[Cell, ...]

HEADER: Row = ("section", "name", "figure", "value", "of", "percent", "ci95_low", "ci95_high")

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0", "\n", "＝", "＋", "－", "＠")  # full-width ones too


def csv_of(rows: Iterable[Row]) -> str:
    """With CR LF, and quotes where they are needed; text that a spreadsheet would run is led by `'`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_safe(cell) for cell in row])
    return text.getvalue()


def _safe(cell: Cell) -> Cell:
    """Text only: a number of ours may begin with a minus. Space and quotes before the sign do not hide it."""
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\0", "")
    return f"'{cell}" if cell.lstrip(" \u00a0\"'").startswith(_FORMULA) or cell.startswith(_FORMULA) else cell


def download(report: Report) -> tuple[str, dict[str, str]]:
    """The CSV, and the headers by which a browser saves it under a name of its store and day."""
    asked = report.asked
    return csv_of(rows_of(report)), csv_headers(f"cases-{asked.store}-{asked.period.end:%Y%m%d}")


def csv_headers(name: str) -> dict[str, str]:
    return {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": f'attachment; filename="{name}.csv"',
        "Cache-Control": "private, no-store",
    }


def rows_of(report: Report) -> Iterator[Row]:
    """The header, which report it is, and every figure of it."""
    yield HEADER
    yield from _about(report)
    yield from _short(report)
    for name, count in zip(_bars(), report.contacts.bars, strict=True):
        yield _plain("first_contact", name, "cases", count)
    for age, count in report.now.ages.items():
        yield _plain("open_now", age, "cases", count)
    yield from _owners(report)
    for outcome, count in report.outcomes.items():
        yield _share("outcomes", outcome, "cases", Share(count, report.ended.closed))
    for cause in report.causes:
        yield _share("causes", cause.cause, "cases", Share(cause.cases, report.ended.closed))
        yield _plain("causes", cause.cause, "before", cause.before)
        yield _plain("causes", cause.cause, "months_seen", cause.months, cause.of_months)
        yield _plain("causes", cause.cause, "to_tell", cause.to_tell)
    yield from _channels(report)


def _bars() -> list[str]:
    hours = FIRST_CONTACT_HOURS
    middle = (f"{low} to {high} h" for low, high in pairwise(hours))
    return [f"under {hours[0]} h", *middle, f"over {hours[-1]} h"]


def _about(report: Report) -> Iterator[Row]:
    asked = report.asked
    facts = {
        "store": asked.store,
        "from": asked.period.start.isoformat(),
        "to": asked.period.end.isoformat(),
        "zone": report.zone,
        "team": asked.team or "all",
        "priority": asked.priority or "all",
    }
    for name, value in facts.items():
        yield _plain("report", name, "", value)


def _short(report: Report) -> Iterator[Row]:
    contacts, ended = report.contacts, report.ended
    counts = {
        "opened": contacts.opened,
        "closed": ended.closed,
        "reopened": report.reopenings,
        "dismissed": ended.dismissed,
        "open_now": report.now.open,
        "unassigned_now": report.now.unassigned,
        "first_contact_seconds_p50": contacts.median,
        "first_contact_seconds_p90": contacts.nine_of_ten,
        "close_seconds_p50": ended.median,
        "close_seconds_p90": ended.nine_of_ten,
    }
    for name, value in counts.items():
        yield _plain("summary", name, "", value)
    shares = {
        "contacted_in_time": report.contacted_in_time,
        "resolved_in_time": report.resolved_in_time,
        "recovered_noted": report.noted,
        "recovered_proved": report.proved,
        "reopened_of_closed": report.reopened,
        "reopened_of_closed_before": report.reopened_before,
    }
    for name, share in shares.items():
        yield _share("summary", name, "", share)


def _owners(report: Report) -> Iterator[Row]:
    for owner in report.owners:
        name = owner.load.owner or "none"
        yield _plain("owners", name, "open", owner.load.open)
        yield _plain("owners", name, "closed", owner.load.closed)
        if owner.enough:
            yield _share("owners", name, "in_time", owner.in_time)
            yield _plain("owners", name, "first_contact_seconds_p50", owner.load.median)


def _channels(report: Report) -> Iterator[Row]:
    for channel in report.channels:
        counts: dict[str, Cell] = {
            "sent": channel.made,
            "delivered": channel.delivered,
            "in_digest": channel.digested,
            "waiting": channel.waiting,
            "retrying": channel.retrying,
            "dead": channel.dead,
            "seconds_p50": channel.median,
            "seconds_p99": channel.slowest,
        }
        for name, value in counts.items():
            yield _plain("deliveries", channel.channel, name, value)


def _plain(section: str, name: str, figure: str, value: Cell, of: int | None = None) -> Row:
    return (
        section,
        name,
        figure,
        round(value, 3) if isinstance(value, float) else value,
        of,
        None,
        None,
        None,
    )


def _share(section: str, name: str, figure: str, share: Share) -> Row:
    percent, found = share.percent, share.ci95
    return (
        section,
        name,
        figure,
        share.count,
        share.of,
        None if percent is None else round1(percent),
        None if found is None else round1(found.lo),
        None if found is None else round1(found.hi),
    )
