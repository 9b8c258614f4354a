"""Every metric of the product, declared once. Names are those of the catalogue in the docs."""

import os
from collections.abc import Collection, Container, Iterable

# `_created` series double the number of counters and nobody reads them.
os.environ.setdefault("PROMETHEUS_DISABLE_CREATED_SERIES", "True")

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_PIPELINE = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_HOUR = 3600.0
_WORK = tuple(_HOUR * hours for hours in (0.25, 1, 2, 4, 8, 16, 24, 48, 72, 168, 336))

BUILD_INFO = Gauge("closeloop_build_info", "Always 1", ["service", "version"])
DEPENDENCY_UP = Gauge("closeloop_dependency_up", "Result of the last check", ["dependency"])
EVENT_LOOP_LAG = Histogram(
    "closeloop_event_loop_lag_seconds", "Scheduling delay of the asyncio loop", buckets=_LATENCY
)

HTTP_REQUESTS = Counter("closeloop_http_requests_total", "Requests answered", ["method", "route", "status"])
HTTP_DURATION = Histogram(
    "closeloop_http_request_duration_seconds",
    "Time to answer a request",
    ["method", "route", "status_class"],
    buckets=_LATENCY,
)
HTTP_IN_PROGRESS = Gauge("closeloop_http_requests_in_progress", "Requests being served")
HTTP_BUFFER = Gauge(
    "closeloop_http_buffer_bytes",
    "What clients have sent that is not answered yet, and what they do not read; "
    "at most `<SERVICE>_PROCESS_BUFFER_BYTES`",
)
HTTP_CUT_OFF = Counter(
    "closeloop_http_cut_off_total",
    "Connections closed over a limit; reason: head, body, pipeline, invalid, busy (of all), slow, unread",
    ["reason"],
)

RESPONSES_RECEIVED = Counter(
    "closeloop_responses_received_total",
    "Answers at the door; outcome: accepted, invalid, unauthorised, rate_limited, unavailable",
    ["channel", "outcome"],
)
RESPONSE_REJECTIONS = Counter(
    "closeloop_response_rejections_total", "Refused answers by kind of fault", ["reason"]
)
PRODUCE_DURATION = Histogram(
    "closeloop_kafka_produce_duration_seconds", "Time until Kafka acknowledged", ["topic"], buckets=_LATENCY
)
PRODUCE_ERRORS = Counter(
    "closeloop_kafka_produce_errors_total", "Batches that Kafka did not acknowledge", ["topic", "error"]
)

CONSUMED = Counter("closeloop_kafka_consumed_records_total", "Records fetched", ["group", "topic"])
PROCESSED = Counter(
    "closeloop_kafka_processed_records_total",
    "Records applied; outcome: ok, duplicate, conflict, refused, skipped, dead_letter",
    ["group", "topic", "outcome"],
)
PROCESSING_DURATION = Histogram(
    "closeloop_kafka_processing_duration_seconds", "Time to apply a batch", ["group"], buckets=_LATENCY
)
LAG_RECORDS = Gauge(
    "closeloop_kafka_consumer_lag_records",
    "End of the log minus the next record to apply",
    ["group", "topic", "partition"],
)
LAG_SECONDS = Gauge(
    "closeloop_kafka_consumer_time_lag_seconds",
    "Age of the oldest record still to be applied; 0 when caught up",
    ["group", "topic", "partition"],
)
ASSIGNED = Gauge(
    "closeloop_kafka_consumer_assigned_partitions", "Partitions that this member reads", ["group", "topic"]
)
REBALANCES = Counter("closeloop_kafka_consumer_rebalances_total", "Assignments received", ["group"])
LAST_POLL = Gauge(
    "closeloop_kafka_consumer_last_poll_timestamp_seconds", "When the loop last polled", ["group"]
)
COMMIT_ERRORS = Counter(
    "closeloop_kafka_commit_errors_total", "Offset hints that Kafka did not take", ["group", "error"]
)
RETRIES = Counter(
    "closeloop_kafka_batch_retries_total", "Batches put off, for a transient fault", ["group", "error"]
)
CONSUMER_PAUSED = Gauge(
    "closeloop_kafka_consumer_paused", "1 after too many dead letters in a row", ["group"]
)
LOG_FAULT = Gauge(
    "closeloop_log_fault",
    "1 while the topic is another log than the one that this process reads or writes, is gone, or lacks the"
    " next offset: an operator must decide",
    ["topic"],
)
DEAD_LETTERS = Counter(
    "closeloop_dead_letter_records_total", "Records nobody could apply", ["group", "topic", "reason"]
)
DEAD_BACKLOG = Gauge("closeloop_dead_letter_backlog_records", "Dead letters waiting for somebody", ["group"])

OUTBOX_PENDING = Gauge("closeloop_outbox_pending_records", "Facts and states waiting to be published")
OUTBOX_AGE = Gauge("closeloop_outbox_oldest_pending_age_seconds", "Age of the oldest of them")
OUTBOX_PUBLISHED = Counter("closeloop_outbox_published_total", "Records published", ["topic", "outcome"])

PIPELINE_LATENCY = Histogram(
    "closeloop_pipeline_latency_seconds",
    "From receipt of an answer to a stage: scored, segmented, notified",
    ["stage"],
    buckets=_PIPELINE,
)
SCORES = Counter("closeloop_scores_total", "Answers counted", ["category", "channel"])
ANSWER_CONFLICTS = Counter(
    "closeloop_answer_conflicts_total", "Rival bodies under one response id, not counted"
)
AMENDMENTS_REFUSED = Counter(
    "closeloop_amendments_refused_total",
    "Amended scores that are impossible for their answer and change nothing; the same in every service",
)
CASES_OPENED = Counter("closeloop_cases_opened_total", "Cases opened", ["priority"])
CASES_OPEN = Gauge(
    "closeloop_cases_open",
    "Cases open now, from the replica that counts; age: under_4h, 4h_to_1d, 1d_to_3d, 3d_to_7d, over_7d",
    ["priority", "team", "age"],
)
CASE_FIRST_CONTACT = Histogram(
    "closeloop_case_first_contact_seconds",
    "Time to the first contact, by each case's own clock",
    ["priority"],
    buckets=_WORK,
)
CASE_CLOSE = Histogram(
    "closeloop_case_close_seconds",
    "Time until a closed case was resolved, by its own clock",
    ["priority"],
    buckets=_WORK,
)
CASE_BREACHES = Counter(
    "closeloop_case_sla_breaches_total",
    "Clocks that ran out, each once, ever; from the replica that counts; clock: first_contact, resolve",
    ["clock"],
)
CASES_REOPENED = Counter(
    "closeloop_case_reopened_total", "Cases opened again, ever; from the replica that counts"
)
DELIVERIES = Counter(
    "closeloop_deliveries_total",
    "Alerts by kind of channel; result: sent, failed (tried again), dead, digested",
    ["channel", "result"],
)
DELIVERY_ATTEMPT = Histogram(
    "closeloop_delivery_attempt_seconds", "Time of one attempt", ["channel"], buckets=(*_LATENCY, 15.0)
)
DELIVERY_DURATION = Histogram(
    "closeloop_delivery_seconds",
    "From the moment at which an alert was made until a receiver took it",
    ["channel"],
    buckets=_PIPELINE,
)
DIGESTS = Counter("closeloop_digests_total", "Digests that a receiver took", ["channel"])
CHANNELS = Gauge(
    "closeloop_channels",
    "Channels by kind; state: healthy, failing, paused (the breaker is open)",
    ["channel", "state"],
)
DELIVERIES_HELD = Gauge(
    "closeloop_deliveries_held",
    "1 while no alert is sent on any channel, from the replica that counts; reason: restored, operator",
    ["reason"],
)
DB_POOL = Gauge("closeloop_db_pool_connections", "Connections; state: in_use, idle", ["state"])
JOB_LAST_SUCCESS = Gauge(
    "closeloop_job_last_success_timestamp_seconds", "When a job last ended well", ["task"]
)


SCORE = Gauge(
    "closeloop_score",
    "Rolling score of a store and of the segments that its configuration exports; hidden ones have no value",
    ["store", "metric", "dimension", "segment", "window"],
)
SCORE_SAMPLE = Gauge(
    "closeloop_score_sample_size",
    "Answers in that score",
    ["store", "metric", "dimension", "segment", "window"],
)
SCORE_MARGIN = Gauge(
    "closeloop_score_margin",
    "Half the width of its 95% interval, in points",
    ["store", "metric", "dimension", "segment", "window"],
)
CUSTOMERS = Gauge("closeloop_customers", "Customers by loyalty tier, from one replica", ["store", "tier"])
LABEL_OVERFLOW = Counter(
    "closeloop_label_overflow_total", "Values shown as `other`, so that labels stay few", ["metric", "label"]
)

ERASURE_REQUESTS = Counter(
    "closeloop_erasure_requests_total", "People to be forgotten; outcome: accepted, unavailable", ["outcome"]
)
ERASURE_AGE = Gauge(
    "closeloop_erasure_oldest_pending_age_seconds",
    "Age of the oldest erasure that this process has still to carry out; 0 when there is none",
)

_CUT_OFF_REASONS = ("head", "body", "pipeline", "invalid", "busy", "slow", "unread")
_STAGES = {"scorer": "scored", "segmenter": "segmented", "notifier": "notified"}
_PRIORITIES = ("urgent", "high", "normal", "low")
_OUTCOMES = ("ok", "duplicate", "conflict", "refused", "skipped", "dead_letter")


def expect_service(service: str) -> None:
    """Make the service's series at zero, so that a rate or a ratio exists before the first fault."""
    for reason in _CUT_OFF_REASONS:
        HTTP_CUT_OFF.labels(reason)
    if service in _STAGES:
        PIPELINE_LATENCY.labels(_STAGES[service])
    if service == "collector":
        for outcome in ("accepted", "unavailable"):
            ERASURE_REQUESTS.labels(outcome)
    if service == "notifier":
        for priority in _PRIORITIES:
            CASES_OPENED.labels(priority)
            CASE_FIRST_CONTACT.labels(priority)
            CASE_CLOSE.labels(priority)
    if service == "scorer":
        LABEL_OVERFLOW.labels("closeloop_score", "segment")


def expect_consumer(group: str, topics: Collection[str]) -> None:
    """Make the series of a consumer group at zero, as `expect_service` does."""
    CONSUMER_PAUSED.labels(group)
    show_log_faults(topics, ())
    for topic in topics:
        CONSUMED.labels(group, topic)
        for outcome in _OUTCOMES:
            PROCESSED.labels(group, topic, outcome)


def show_log_faults(topics: Iterable[str], faulty: Container[str]) -> None:
    """Set for each of the topics whether something is wrong with its log."""
    for topic in topics:
        LOG_FAULT.labels(topic).set(topic in faulty)


def exposition(accept: str | None) -> tuple[bytes, str]:
    """The metrics of this process in the format that the scraper asks for: (body, content type)."""
    encoder, content_type = choose_encoder(accept or "")
    return encoder(REGISTRY), content_type
