"""The four dashboards, written in code: `python -m deploy.grafana [--check]` writes `dashboards/*.json`.

A panel that is empty while all is well says so by 0, not by "No data": that is for series that are missing.
"""
