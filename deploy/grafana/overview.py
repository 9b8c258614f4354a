"""The first look: are the promises kept, what comes in, what fires, what was deployed."""

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard

from deploy.grafana.panels import SOURCE, Query, board, lines, number

_DOOR = 'method="POST",route="/v1/responses"'
_DURATION = "closeloop_http_request_duration_seconds"
_STAGES = "closeloop_pipeline_latency_seconds_bucket"


def overview() -> Dashboard:
    return (
        board("closeloop-overview", "Closeloop: overview", "Are the promises kept, and what comes in?")
        .annotation(
            AnnotationQuery()
            .name("Starts")
            .datasource(SOURCE)
            .enable(True)
            .icon_color("blue")
            .expr('changes(process_start_time_seconds{job=~"closeloop-.+"}[$__interval]) > 0')
        )
        .with_panel(
            number(
                "Budget left, 30 days",
                "What is left of the share of events that may miss each objective. Below 0 it is broken.",
                "percentunit",
                Query("1 - closeloop:slo_errors:ratio_rate30d / closeloop:slo_budget:ratio", "{{slo}}"),
                width=18,
            )
        )
        .with_panel(
            number(
                "Alerts that fire",
                "Each has a page in docs/runbooks.",
                "short",
                Query('count(ALERTS{alertname=~"Closeloop.+",alertstate="firing"}) or vector(0)', "firing"),
                width=6,
            )
        )
        .with_panel(
            lines(
                "Burn rate, last hour",
                "How many times too fast the budget goes. A page comes at 14.4, a ticket at 3.",
                "short",
                Query("closeloop:slo_errors:ratio_rate1h / closeloop:slo_budget:ratio", "{{slo}}"),
            )
        )
        .with_panel(
            lines(
                "Services that answer",
                "Replicas that Prometheus reaches; 0 is a page.",
                "short",
                Query('sum by (job) (up{job=~"closeloop-.+"})', "{{job}}"),
            )
        )
        .with_panel(
            lines(
                "Answers at the door",
                "By what became of them.",
                "reqps",
                Query(
                    "sum by (outcome) (rate(closeloop_responses_received_total[$__rate_interval]))",
                    "{{outcome}}",
                ),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Share of answers refused for a fault of ours",
                "5xx of POST /v1/responses.",
                "percentunit",
                Query(
                    f'sum(rate({_DURATION}_count{{{_DOOR},status_class="5xx"}}[$__rate_interval]))'
                    f" / (sum(rate({_DURATION}_count{{{_DOOR}}}[$__rate_interval])) > 0) or vector(0)",
                    "5xx",
                ),
            )
        )
        .with_panel(
            lines(
                "Time to acknowledge an answer",
                "The collector acknowledges when Kafka has it; 99% within 250 ms are promised.",
                "s",
                *[
                    Query(
                        f"histogram_quantile({q}, sum by (le)"
                        f" (rate({_DURATION}_bucket{{{_DOOR}}}[$__rate_interval])))",
                        f"p{q * 100:g}",
                    )
                    for q in (0.5, 0.95, 0.99)
                ],
            )
        )
        .with_panel(
            lines(
                "From receipt to a stage, p95",
                "Scored and segmented: batches by their oldest answer. Notified: alerts.",
                "s",
                Query(
                    f"histogram_quantile(0.95, sum by (le, stage) (rate({_STAGES}[$__rate_interval])))",
                    "{{stage}}",
                ),
            )
        )
    )
