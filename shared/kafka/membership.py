"""A member of a consumer group, as aiokafka has to be told."""

from aiokafka import AIOKafkaConsumer

from shared.kafka.brokers import Brokers, client_options

_FETCH_WAIT_MS = 500
_FETCH_BYTES = 262_144
"""Of each partition at once. Four times as much, aiokafka's default, is no faster and held in memory."""


def group_client(bootstrap: str | Brokers, group: str, *, session_timeout_seconds: float) -> AIOKafkaConsumer:
    """A client that is not started yet. It commits nothing and begins nowhere by itself."""
    session_ms = int(session_timeout_seconds * 1000)
    return AIOKafkaConsumer(
        **client_options(bootstrap),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="none",  # the gate seeks; a position outside the log must be noticed
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        max_partition_fetch_bytes=_FETCH_BYTES,
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // 4,
        rebalance_timeout_ms=60_000,
        max_poll_interval_ms=300_000,
        request_timeout_ms=session_ms + 40_000,
        metadata_max_age_ms=60_000,
        retry_backoff_ms=100,
    )
