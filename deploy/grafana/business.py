"""What it is all for: scores with their margins, who answers, and whether the unhappy are heard."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Query, board, choice, lines, rows, signed

_ALL = 'store=~"$store",metric="nps",dimension="all"'
_MONTH = f'{_ALL},window="30d"'
_SEGMENTS = 'store=~"$store",metric="nps",dimension!="all"'


def business() -> Dashboard:
    return (
        board("closeloop-business", "Closeloop: customers", "Scores, tiers, cases and alerts")
        .with_variable(choice("store", "Store", "label_values(closeloop_score_sample_size, store)"))
        .with_panel(
            signed(
                lines(
                    "NPS with its margin, 30 days",
                    "The score lies between the outer lines (95%). One that tells who answered is hidden.",
                    "short",
                    Query(f"closeloop_score{{{_MONTH}}}", "{{store}}"),
                    Query(
                        f"closeloop_score{{{_MONTH}}} - closeloop_score_margin{{{_MONTH}}}",
                        "{{store}} at least",
                    ),
                    Query(
                        f"closeloop_score{{{_MONTH}}} + closeloop_score_margin{{{_MONTH}}}",
                        "{{store}} at most",
                    ),
                )
            )
        )
        .with_panel(
            signed(
                lines(
                    "NPS by window",
                    "A short window moves first, and by chance.",
                    "short",
                    Query(f"closeloop_score{{{_ALL}}}", "{{store}} {{window}}"),
                )
            )
        )
        .with_panel(
            lines(
                "Answers in the score",
                "Under 30 the score is a hint.",
                "short",
                Query(f"closeloop_score_sample_size{{{_ALL}}}", "{{store}} {{window}}"),
            )
        )
        .with_panel(
            rows(
                "Segments: score, sample size",
                "Those of `metric_segments`; the rest is `other`. Hidden scores are missing.",
                "short",
                Query(f"closeloop_score{{{_SEGMENTS}}}"),
                Query(f"closeloop_score_sample_size{{{_SEGMENTS}}}"),
            )
        )
        .with_panel(
            lines(
                "Answers counted, by group",
                "Promoters, passives, detractors.",
                "cps",
                Query(
                    "sum by (category) (rate(closeloop_scores_total[$__rate_interval]))",
                    "{{category}}",
                ),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Answers counted, by channel",
                "As the storefront named it.",
                "cps",
                Query("sum by (channel) (rate(closeloop_scores_total[$__rate_interval]))", "{{channel}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Customers by tier",
                "As of now.",
                "short",
                Query('sum by (tier) (closeloop_customers{store=~"$store"})', "{{tier}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Open cases by priority",
                "Of all stores.",
                "short",
                Query("sum by (priority) (closeloop_cases_open) or vector(0)", "{{priority}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Open cases by age",
                "Old ones are forgotten customers.",
                "short",
                Query("sum by (age) (closeloop_cases_open) or vector(0)", "{{age}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Time to the first contact, median of a day",
                "By each case's own clock.",
                "s",
                Query(
                    "histogram_quantile(0.5, sum by (le, priority)"
                    " (increase(closeloop_case_first_contact_seconds_bucket[1d])))",
                    "{{priority}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Promises to customers broken",
                "Clocks that ran out in the last day, and cases that had to be opened again.",
                "short",
                Query(
                    "sum by (clock) (increase(closeloop_case_sla_breaches_total[1d]))",
                    "{{clock}}",
                ),
                Query("sum(increase(closeloop_case_reopened_total[1d]))", "reopened"),
            )
        )
        .with_panel(
            lines(
                "From an answer to its alert, p95",
                "99% within 5 minutes are promised.",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (le)"
                    ' (rate(closeloop_pipeline_latency_seconds_bucket{stage="notified"}[$__rate_interval])))',
                    "p95",
                ),
            )
        )
        .with_panel(
            lines(
                "Alerts by channel",
                "failed is tried again, dead was given up.",
                "cps",
                Query(
                    "sum by (channel, result) (rate(closeloop_deliveries_total[$__rate_interval]))",
                    "{{channel}} {{result}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Alerts held back",
                "1: nothing is sent on any channel, until somebody types `closeloop deliveries release`.",
                "short",
                Query("max by (reason) (closeloop_deliveries_held)", "{{reason}}"),
            )
        )
        .with_panel(
            lines(
                "Values shown as `other`",
                "A dimension has more values than are shown.",
                "short",
                Query("sum by (metric, label) (closeloop_label_overflow_total)", "{{metric}} {{label}}"),
            )
        )
    )
