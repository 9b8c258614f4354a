"""Between the door and the alert: what each group reads, applies, buries and sends on."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Query, board, choice, lines, rows

_PROCESSED = "closeloop_kafka_processed_records_total"


def pipeline() -> Dashboard:
    group = 'group=~"$group"'
    return (
        board("closeloop-pipeline", "Closeloop: pipeline", "Kafka to PostgreSQL and on, by consumer group")
        .with_variable(
            choice("group", "Group", "label_values(closeloop_kafka_consumer_assigned_partitions, group)")
        )
        .with_panel(
            lines(
                "Records fetched",
                "By group and topic.",
                "cps",
                Query(
                    "sum by (group, topic) (rate(closeloop_kafka_consumed_records_total"
                    f"{{{group}}}[$__rate_interval]))",
                    "{{group}} {{topic}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Records by outcome",
                "Every record ends in one.",
                "cps",
                Query(f"sum by (outcome) (rate({_PROCESSED}{{{group}}}[$__rate_interval]))", "{{outcome}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Age of the oldest record still to be applied",
                "Of the slowest partition; 0 is caught up.",
                "s",
                Query(f"max by (group) (closeloop_kafka_consumer_time_lag_seconds{{{group}}})", "{{group}}"),
            )
        )
        .with_panel(
            lines(
                "Records still to be applied",
                "One partition that rises alone is stuck on one record or one key.",
                "short",
                Query(
                    f"sum by (group, topic, partition) (closeloop_kafka_consumer_lag_records{{{group}}})",
                    "{{group}} {{topic}} {{partition}}",
                ),
            )
        )
        .with_panel(
            rows(
                "Partitions by member",
                "A member without partitions is idle: there are more replicas than partitions.",
                "short",
                Query(
                    "sum by (group, topic, instance)"
                    f" (closeloop_kafka_consumer_assigned_partitions{{{group}}})"
                ),
            )
        )
        .with_panel(
            lines(
                "Rebalances in 15 minutes",
                "Each stops the group for a moment.",
                "short",
                Query(
                    f"sum by (group) (increase(closeloop_kafka_consumer_rebalances_total{{{group}}}[15m]))",
                    "{{group}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Time to apply a batch, p95",
                "One transaction each.",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (le, group) (rate("
                    f"closeloop_kafka_processing_duration_seconds_bucket{{{group}}}[$__rate_interval])))",
                    "{{group}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Batches put off, and offset hints not taken",
                "Put off: the database or Kafka was away. Hints decide nothing.",
                "cps",
                Query(
                    "sum by (group) (rate(closeloop_kafka_batch_retries_total"
                    f"{{{group}}}[$__rate_interval])) or vector(0)",
                    "put off {{group}}",
                ),
                Query(
                    "sum by (group) (rate(closeloop_kafka_commit_errors_total"
                    f"{{{group}}}[$__rate_interval])) or vector(0)",
                    "hint {{group}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Dead letters by reason",
                "Buried in the last hour.",
                "short",
                Query(
                    "sum by (group, reason) (increase(closeloop_dead_letter_records_total"
                    f"{{{group}}}[1h])) or vector(0)",
                    "{{group}} {{reason}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Dead letters waiting, consumers paused",
                "`closeloop dead list` shows them. A paused consumer waits for somebody.",
                "short",
                Query(
                    f"max by (group) (closeloop_dead_letter_backlog_records{{{group}}})", "waiting {{group}}"
                ),
                Query(f"max by (group) (closeloop_kafka_consumer_paused{{{group}}})", "paused {{group}}"),
            )
        )
        .with_panel(
            lines(
                "Age of the oldest news not yet published",
                "Scores, customers and case facts on their way to Kafka.",
                "s",
                Query("max by (job) (closeloop_outbox_oldest_pending_age_seconds)", "{{job}}"),
            )
        )
        .with_panel(
            lines(
                "Published",
                "By topic and outcome.",
                "cps",
                Query(
                    "sum by (topic, outcome) (rate(closeloop_outbox_published_total[$__rate_interval]))",
                    "{{topic}} {{outcome}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Time until Kafka acknowledged, p95",
                "With all in-sync replicas.",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (le, topic)"
                    " (rate(closeloop_kafka_produce_duration_seconds_bucket[$__rate_interval])))",
                    "{{topic}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Batches that Kafka did not acknowledge",
                "By error.",
                "cps",
                Query(
                    "sum by (topic, error) (rate(closeloop_kafka_produce_errors_total[$__rate_interval]))"
                    " or vector(0)",
                    "{{topic}} {{error}}",
                ),
            )
        )
    )
