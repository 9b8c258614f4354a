"""The report as CSV (RFC 4180): one figure a row, safe to open in a spreadsheet."""

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
    """A CSV file: CR LF, quotes where they are needed, and no text that a spreadsheet would run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_safe(cell) for cell in row])
    return text.getvalue()


def _safe(cell: Cell) -> Cell:
    """Text that a spreadsheet would run as a formula, led by `'`; a number may begin with a minus.

    Spaces and quotes before the sign do not hide it.
    """
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\0", "")
    return f"'{cell}" if cell.lstrip(" \u00a0\"'").startswith(_FORMULA) or cell.startswith(_FORMULA) else cell


def download(report: Report) -> tuple[str, dict[str, str]]:
    """The CSV, and the headers by which a browser saves it under a name of its store and day."""
    query = report.query
    return csv_of(rows_of(report)), csv_headers(f"cases-{query.store}-{query.period.end:%Y%m%d}")


def csv_headers(name: str) -> dict[str, str]:
    """The headers by which a browser saves the answer as `<name>.csv`."""
    return {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": f'attachment; filename="{name}.csv"',
        "Cache-Control": "private, no-store",
    }


def rows_of(report: Report) -> Iterator[Row]:
    """The header, the fields of the report's query, and a row for every figure."""
    yield HEADER
    yield from _query_rows(report)
    yield from _summary_rows(report)
    for name, count in zip(_bar_names(), report.contacts.bars, strict=True):
        yield _value_row("first_contact", name, "cases", count)
    for age, count in report.now.ages.items():
        yield _value_row("open_now", age, "cases", count)
    yield from _owner_rows(report)
    for outcome, count in report.outcomes.items():
        yield _share_row("outcomes", outcome, "cases", Share(count, report.ended.closed))
    for cause in report.causes:
        yield _share_row("causes", cause.cause, "cases", Share(cause.cases, report.ended.closed))
        yield _value_row("causes", cause.cause, "before", cause.before)
        yield _value_row("causes", cause.cause, "months_seen", cause.months, cause.of_months)
        yield _value_row("causes", cause.cause, "to_tell", cause.customers_to_inform)
    yield from _channel_rows(report)


def _bar_names() -> list[str]:
    hours = FIRST_CONTACT_HOURS
    middle = (f"{low} to {high} h" for low, high in pairwise(hours))
    return [f"under {hours[0]} h", *middle, f"over {hours[-1]} h"]


def _query_rows(report: Report) -> Iterator[Row]:
    query = report.query
    fields = {
        "store": query.store,
        "from": query.period.start.isoformat(),
        "to": query.period.end.isoformat(),
        "zone": report.zone,
        "team": query.team or "all",
        "priority": query.priority or "all",
    }
    for name, value in fields.items():
        yield _value_row("report", name, "", value)


def _summary_rows(report: Report) -> Iterator[Row]:
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
        yield _value_row("summary", name, "", value)
    shares = {
        "contacted_in_time": report.contacted_in_time,
        "resolved_in_time": report.resolved_in_time,
        "recovered_noted": report.noted,
        "recovered_proved": report.proved,
        "reopened_of_closed": report.reopened,
        "reopened_of_closed_before": report.reopened_before,
    }
    for name, share in shares.items():
        yield _share_row("summary", name, "", share)


def _owner_rows(report: Report) -> Iterator[Row]:
    for owner in report.owners:
        name = owner.load.owner or "none"
        yield _value_row("owners", name, "open", owner.load.open)
        yield _value_row("owners", name, "closed", owner.load.closed)
        if owner.enough:
            yield _share_row("owners", name, "in_time", owner.in_time)
            yield _value_row("owners", name, "first_contact_seconds_p50", owner.load.median)


def _channel_rows(report: Report) -> Iterator[Row]:
    for channel in report.channels:
        counts: dict[str, Cell] = {
            "sent": channel.alerts_made,
            "delivered": channel.delivered,
            "in_digest": channel.digested,
            "waiting": channel.waiting,
            "retrying": channel.retrying,
            "dead": channel.dead,
            "seconds_p50": channel.median,
            "seconds_p99": channel.slowest,
        }
        for name, value in counts.items():
            yield _value_row("deliveries", channel.channel, name, value)


def _value_row(section: str, name: str, figure: str, value: Cell, of: int | None = None) -> Row:
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


def _share_row(section: str, name: str, figure: str, share: Share) -> Row:
    percent, bounds = share.percent, share.ci95
    return (
        section,
        name,
        figure,
        share.count,
        share.of,
        None if percent is None else round1(percent),
        None if bounds is None else round1(bounds.lo),
        None if bounds is None else round1(bounds.hi),
    )
