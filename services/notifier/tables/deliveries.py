"""Alerts on their way, and what is told beside cases."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.notifier.tables.schema import MOMENT, SCHEMA, metadata

# `next_at`: of a waiting delivery the earliest next attempt, of a claimed one the end of the lease.
# `first_at`: when the first attempt was claimed. `digest_id`: the notice that it is told in instead.
deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("store", Text, nullable=False),
    Column("case_id", Text, ForeignKey(f"{SCHEMA}.cases.case_id")),
    Column("notice_id", Text, ForeignKey(f"{SCHEMA}.notices.notice_id")),
    Column("digest_id", Text, ForeignKey(f"{SCHEMA}.notices.notice_id")),
    Column("reason", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("response_id", Text),
    Column("received_at", MOMENT, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("created_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("next_at", MOMENT, nullable=False),
    Column("first_at", MOMENT),
    Column("lease_token", Text),
    Column("settled_at", MOMENT),
    Column("last_status", Integer),
    Column("last_milliseconds", Integer),
    Column("last_reply", Text),
    Column("last_error", Text),
    UniqueConstraint("case_id", "reason", "channel", name="deliveries_once"),
    UniqueConstraint("notice_id", "channel", name="deliveries_notice_once"),
    CheckConstraint("state IN ('pending', 'sent', 'dead', 'cancelled', 'digested')", name="deliveries_state"),
    CheckConstraint("num_nonnulls(case_id, notice_id) = 1", name="deliveries_about_one"),
    Index("deliveries_due", "store", "channel", "next_at", postgresql_where=text("state = 'pending'")),
    Index("deliveries_by_state", "store", "state", "delivery_id"),
    Index("deliveries_by_time", "store", "created_at"),
    Index("deliveries_of_digest", "digest_id", "delivery_id", postgresql_where=text("digest_id IS NOT NULL")),
    Index("deliveries_begun", "store", "channel", "first_at", postgresql_where=text("first_at IS NOT NULL")),
    Index(
        "deliveries_settled",
        "store",
        "channel",
        "settled_at",
        postgresql_where=text("settled_at IS NOT NULL"),
    ),
)

# Channels whose breaker is open, for people to see; a moment in the past says nothing.
channel_pauses = Table(
    "channel_pauses",
    metadata,
    Column("store", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("paused_until", MOMENT, nullable=False),
    Column("made_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("store", "channel"),
)

# What is told beside cases. `detail` is what `store.notices.New` says.
notices = Table(
    "notices",
    metadata,
    Column("notice_id", Text, primary_key=True),
    Column("store", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    Column("link", Text, nullable=False),
    Column("urgent", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    CheckConstraint(
        "kind IN ('score_fell', 'silence', 'digest', 'report', 'test', 'escalated')", name="notices_kind"
    ),
)
