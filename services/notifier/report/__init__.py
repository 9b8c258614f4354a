"""The report: how many cases were opened and closed, how fast, how they ended, and what recurs.

A new figure is added in this order:

1. its query in `store.py`, as a function named by the question that it answers;
2. its arithmetic in `domain.py`, if it is more than a count;
3. a field of `Report` in `figures.py`, which `build_report` fills;
4. where it is shown: `api.py` (`ReportOut`), `templates/report.html` for the page, `csv.py` for the export.

Beside that: `query.py` says which report is asked for, `wording.py` has the words and the ten lines of the
weekly message, `views.py` the rows and the histogram of the page, `pages.py` and `api.py` the routes,
`jobs.py` sends the weekly message, and `gauges.py` counts the metrics of cases.
"""
