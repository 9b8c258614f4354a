"""The tables of the schema `notifier`, beside those that every service has."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "notifier"

metadata = MetaData(schema=SCHEMA)

_MOMENT = DateTime(timezone=True)

# A customer's row is locked before any of the customer's cases changes by an answer.
customers = Table(
    "customers",
    metadata,
    Column("store", Text, nullable=False),
    Column("customer_ref", Text, nullable=False),
    Column("seq", BigInteger, nullable=False, server_default=text("-1")),
    Column("tier", Text),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    PrimaryKeyConstraint("store", "customer_ref"),
)

# Everything known of an answer that may open a case: event id -> {type, body}. Merging two of them is
# `||`, so that the order of arrival and repeats cannot matter.
answers = Table(
    "answers",
    metadata,
    Column("store", Text, nullable=False),
    Column("response_id", Text, nullable=False),
    Column("customer_ref", Text),
    Column("revisions", JSONB, nullable=False),
    Column("first_seen_at", _MOMENT, nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("store", "response_id"),
    Index("answers_by_customer", "store", "customer_ref"),
)

_LIVE = "status NOT IN ('closed', 'dismissed')"

cases = Table(
    "cases",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column("store", Text, nullable=False),
    Column("customer_ref", Text, nullable=False),
    Column("response_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("config_version", Text, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("tier", Text),
    Column("owner", Text),
    Column("opened_at", _MOMENT, nullable=False),
    Column("first_contact_due_at", _MOMENT, nullable=False),
    Column("first_contact_at", _MOMENT),
    Column("resolve_due_at", _MOMENT, nullable=False),
    Column("resolve_hours", Double, nullable=False),
    Column("resolved_at", _MOMENT),
    Column("closed_at", _MOMENT),
    Column("snoozed_at", _MOMENT),
    Column("snoozed_until", _MOMENT),
    Column("before_snooze", Text),
    Column("root_cause", Text),
    Column("outcome", Text),
    Column("dismissed_because", Text),
    Column("reopened", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    # The clock that runs out first; a case without one comes last.
    Column(
        "due_at",
        _MOMENT,
        Computed(
            "CASE WHEN status IN ('closed', 'dismissed', 'resolved') THEN 'infinity'::timestamptz"
            " WHEN first_contact_at IS NULL AND status = 'snoozed' THEN first_contact_due_at"
            " WHEN first_contact_at IS NULL THEN least(first_contact_due_at, resolve_due_at)"
            " WHEN status = 'snoozed' THEN 'infinity'::timestamptz ELSE resolve_due_at END",
            persisted=True,
        ),
    ),
    CheckConstraint(
        "status IN ('open', 'assigned', 'contacted', 'snoozed', 'resolved', 'reopened', 'closed',"
        " 'dismissed')",
        name="cases_status",
    ),
    Index("cases_one_live", "store", "customer_ref", unique=True, postgresql_where=text(_LIVE)),
    Index("cases_by_customer", "store", "customer_ref"),
    Index("cases_by_clock", "store", "due_at", "case_id"),
    Index("cases_by_owner", "store", "owner", "due_at", "case_id"),
    Index("cases_snoozed", "snoozed_until", postgresql_where=text("status = 'snoozed'")),
)

# The primary key is the promise that no answer has two cases.
case_answers = Table(
    "case_answers",
    metadata,
    Column("store", Text, nullable=False),
    Column("response_id", Text, nullable=False),
    Column("case_id", Text, ForeignKey(f"{SCHEMA}.cases.case_id"), nullable=False),
    Column("part", Text, nullable=False),
    Column("added_at", _MOMENT, nullable=False),
    Column("retracted", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("store", "response_id"),
    Index("case_answers_by_case", "case_id"),
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
    Column("created_at", _MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    CheckConstraint(
        "kind IN ('score_fell', 'silence', 'digest', 'report', 'test', 'escalated')", name="notices_kind"
    ),
)

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
    Column("received_at", _MOMENT, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("created_at", _MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("next_at", _MOMENT, nullable=False),
    Column("first_at", _MOMENT),
    Column("lease_token", Text),
    Column("settled_at", _MOMENT),
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
    Column("paused_until", _MOMENT, nullable=False),
    PrimaryKeyConstraint("store", "channel"),
)

# Append-only: who did what to a case, and when.
history = Table(
    "history",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("case_id", Text, ForeignKey(f"{SCHEMA}.cases.case_id"), nullable=False),
    Column("at", _MOMENT, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    Index("history_by_case", "case_id", "id"),
)
