"""The processes: what they use, where they are full, what they cannot reach."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Query, board, choice, lines, rows

_OURS = 'job=~"$job"'


def runtime() -> Dashboard:
    return (
        board("closeloop-runtime", "Closeloop: runtime", "Use, saturation and errors of the processes")
        .with_variable(choice("job", "Service", 'label_values(up{job=~"closeloop-.+"}, job)'))
        .with_panel(
            lines(
                "CPU",
                "Cores; a process has one event loop and cannot use much more than one.",
                "short",
                Query(
                    f"rate(process_cpu_seconds_total{{{_OURS}}}[$__rate_interval])", "{{job}} {{instance}}"
                ),
            )
        )
        .with_panel(
            lines(
                "Memory",
                "Resident.",
                "bytes",
                Query(f"process_resident_memory_bytes{{{_OURS}}}", "{{job}} {{instance}}"),
            )
        )
        .with_panel(
            lines(
                "Event loop delay, p99",
                "Above a quarter of a second something blocks the loop.",
                "s",
                Query(
                    "histogram_quantile(0.99, sum by (le, job)"
                    f" (rate(closeloop_event_loop_lag_seconds_bucket{{{_OURS}}}[$__rate_interval])))",
                    "{{job}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Connections to PostgreSQL",
                "In use near the size of the pool: requests wait for a connection.",
                "short",
                Query(f"sum by (job, state) (closeloop_db_pool_connections{{{_OURS}}})", "{{job}} {{state}}"),
            )
        )
        .with_panel(
            lines(
                "Requests being served",
                "At the limit, 503 is answered.",
                "short",
                Query(
                    f"sum by (job) (closeloop_http_requests_in_progress{{{_OURS}}})",
                    "{{job}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Requests by status",
                "Probes are not counted.",
                "reqps",
                Query(
                    "sum by (job, status)"
                    f" (rate(closeloop_http_requests_total{{{_OURS}}}[$__rate_interval]))",
                    "{{job}} {{status}}",
                ),
                stacked=True,
            )
        )
        .with_panel(
            rows(
                "What is reached",
                "0: the last check failed. /readyz says why.",
                "short",
                Query(f"min by (job, dependency) (closeloop_dependency_up{{{_OURS}}})"),
            )
        )
        .with_panel(
            lines(
                "Files open",
                "Sockets too.",
                "short",
                Query(f"process_open_fds{{{_OURS}}}", "{{job}} {{instance}}"),
            )
        )
        .with_panel(
            lines(
                "Starts in the last hour",
                "More than one a rollout: it crashes.",
                "short",
                Query(
                    f"sum by (job) (changes(process_start_time_seconds{{{_OURS}}}[1h]))",
                    "{{job}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Since a job last ended well",
                "Of the replica that does it.",
                "s",
                Query(
                    f"time() - max by (job, task) (closeloop_job_last_success_timestamp_seconds{{{_OURS}}})",
                    "{{job}} {{task}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Since a consumer last polled",
                "Above a minute the process ends itself.",
                "s",
                Query(
                    "time() - min by (group)"
                    f" (closeloop_kafka_consumer_last_poll_timestamp_seconds{{{_OURS}}})",
                    "{{group}}",
                ),
            )
        )
        .with_panel(
            rows(
                "Versions",
                "Two while a rollout goes on.",
                "short",
                Query(f"count by (service, version) (closeloop_build_info{{{_OURS}}})"),
            )
        )
    )
