"""The report: what was opened and closed, how fast, how it ended, and what comes back."""

from services.notifier.report.csv import csv_headers, csv_of, download, rows_of
from services.notifier.report.figures import Asked, Cause, Owner, Report, build
from services.notifier.report.lines import ten_lines

__all__ = [
    "Asked",
    "Cause",
    "Owner",
    "Report",
    "build",
    "csv_headers",
    "csv_of",
    "download",
    "rows_of",
    "ten_lines",
]
