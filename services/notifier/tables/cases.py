"""Cases and the indexes of their list."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Double,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from services.notifier.tables.schema import MOMENT, metadata

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
    Column("opened_at", MOMENT, nullable=False),
    Column("first_contact_due_at", MOMENT, nullable=False),
    Column("first_contact_at", MOMENT),
    Column("resolve_due_at", MOMENT, nullable=False),
    Column("resolve_hours", Double, nullable=False),
    Column("resolved_at", MOMENT),
    Column("closed_at", MOMENT),
    Column("snoozed_at", MOMENT),
    Column("snoozed_until", MOMENT),
    Column("before_snooze", Text),
    Column("root_cause", Text),
    Column("outcome", Text),
    Column("dismissed_because", Text),
    Column("reopened", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    # `number` is shown to people. `clock_from`: both clocks ran from here; `resolve_from` moves with every
    # pause. The seconds are counted by the case's own clock, and written when it happens.
    Column("number", BigInteger, Identity(), nullable=False),
    Column("team", Text),
    Column("clock", Text, nullable=False, server_default=text("'elapsed'")),
    Column("first_contact_hours", Double),
    Column("clock_from", MOMENT),
    Column("resolve_from", MOMENT),
    Column("first_contact_seconds", Double),
    Column("resolve_seconds", Double),
    Column("changed_at", MOMENT, nullable=False, server_default=text("now()")),
    Column("last_group", Text),
    Column("score", Integer),
    Column("metric", Text),
    Column("wants_contact", Boolean, nullable=False, server_default=text("false")),
    Column("auto_assigned", Boolean, nullable=False, server_default=text("false")),
    Column("escalated", Integer, nullable=False, server_default=text("0")),
    Column("next_step_at", MOMENT),
    Column("told_at", MOMENT),
    Column("words", TSVECTOR, nullable=False, server_default=text("''")),
    # Which breaches of its clocks were counted: of the resolution, one for each time that it was opened.
    Column("first_contact_breached", Boolean, nullable=False, server_default=text("false")),
    Column("resolve_breached", Integer, nullable=False, server_default=text("0")),
    # The clock that runs out first; a case without one comes last.
    Column(
        "due_at",
        MOMENT,
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
    CheckConstraint("clock IN ('elapsed', 'business')", name="cases_clock"),
    Index("cases_one_live", "store", "customer_ref", unique=True, postgresql_where=text(_LIVE)),
    Index("cases_by_customer", "store", "customer_ref"),
    Index("cases_by_clock", "store", "due_at", "case_id"),
    Index("cases_by_owner", "store", "owner", "due_at", "case_id"),
    Index("cases_snoozed", "snoozed_until", postgresql_where=text("status = 'snoozed'")),
    # One for each filter of the inbox, in the order of its list, so that a page reads only what it shows.
    Index("cases_by_number", "store", "number", unique=True),
    Index("cases_live_by_clock", "store", "due_at", "case_id", postgresql_where=text(_LIVE)),
    Index("cases_live_by_owner", "store", "owner", "due_at", "case_id", postgresql_where=text(_LIVE)),
    Index("cases_live_by_priority", "store", "priority", "due_at", "case_id", postgresql_where=text(_LIVE)),
    Index("cases_live_by_team", "store", "team", "due_at", "case_id", postgresql_where=text(_LIVE)),
    Index("cases_live_by_tier", "store", "tier", "due_at", "case_id", postgresql_where=text(_LIVE)),
    Index("cases_by_status", "store", "status", "due_at", "case_id"),
    Index("cases_to_call", "store", "due_at", "case_id", postgresql_where=text(f"wants_contact AND {_LIVE}")),
    Index("cases_by_words", "words", postgresql_using="gin"),
    Index("cases_by_change", "store", "changed_at"),
    Index("cases_by_end", "store", "closed_at"),
    Index("cases_by_step", "next_step_at", postgresql_where=text("next_step_at IS NOT NULL")),
    # What the report and its metrics read. The first two hold a case only while a breach is to be counted.
    Index(
        "cases_first_contact_breach",
        "first_contact_due_at",
        postgresql_where=text(
            "NOT first_contact_breached AND (first_contact_at > first_contact_due_at"
            f" OR (first_contact_at IS NULL AND {_LIVE}))"
        ),
    ),
    Index(
        "cases_resolve_breach",
        "resolve_due_at",
        postgresql_where=text(
            "resolve_breached <= reopened AND (resolved_at > resolve_due_at OR (resolved_at IS NULL"
            " AND status NOT IN ('closed', 'dismissed', 'snoozed')))"
        ),
    ),
    Index("cases_open_by_age", "priority", "team", "opened_at", postgresql_where=text(_LIVE)),
    Index("cases_by_opening", "store", "opened_at"),
)
