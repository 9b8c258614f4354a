"""What Prometheus and Alertmanager are given: rules, alerts and their tests, and where alerts go.

`slo.py` writes `rules/slo.yml`, `page.py` writes `docs/observability.md`; `python -m deploy.prometheus` runs
both, with `--check` it says whether the committed files are what they would write.

Contract with whoever scrapes: the label `job` of each target is `closeloop-<service>`.
"""
