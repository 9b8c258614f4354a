"""Answers, customers, cases, deliveries and their history."""

from alembic import op

from shared.db.service_tables import tables_v1

revision = "0001"
down_revision = None


def upgrade() -> None:
    for statement in (*tables_v1("notifier"), *_TABLES, *_INDEXES):
        op.execute(statement)


_TABLES = (
    """CREATE TABLE notifier.customers (
        store text NOT NULL,
        customer_ref text NOT NULL,
        seq bigint NOT NULL DEFAULT -1,
        tier text,
        tags text[] NOT NULL DEFAULT '{}',
        PRIMARY KEY (store, customer_ref)
    ) WITH (fillfactor = 80)""",
    """CREATE TABLE notifier.answers (
        store text NOT NULL,
        response_id text NOT NULL,
        customer_ref text,
        revisions jsonb NOT NULL,
        first_seen_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (store, response_id)
    )""",
    """CREATE TABLE notifier.cases (
        case_id text PRIMARY KEY,
        store text NOT NULL,
        customer_ref text NOT NULL,
        response_id text NOT NULL,
        status text NOT NULL CONSTRAINT cases_status CHECK (status IN
            ('open', 'assigned', 'contacted', 'snoozed', 'resolved', 'reopened', 'closed', 'dismissed')),
        priority text NOT NULL,
        rule text NOT NULL,
        config_version text NOT NULL,
        verified boolean NOT NULL,
        tier text,
        owner text,
        opened_at timestamptz NOT NULL,
        first_contact_due_at timestamptz NOT NULL,
        first_contact_at timestamptz,
        resolve_due_at timestamptz NOT NULL,
        resolve_hours double precision NOT NULL,
        resolved_at timestamptz,
        closed_at timestamptz,
        snoozed_at timestamptz,
        snoozed_until timestamptz,
        before_snooze text,
        root_cause text,
        outcome text,
        dismissed_because text,
        reopened int NOT NULL,
        version int NOT NULL,
        due_at timestamptz GENERATED ALWAYS AS (
            CASE WHEN status IN ('closed', 'dismissed', 'resolved') THEN 'infinity'::timestamptz
                 WHEN first_contact_at IS NULL AND status = 'snoozed' THEN first_contact_due_at
                 WHEN first_contact_at IS NULL THEN least(first_contact_due_at, resolve_due_at)
                 WHEN status = 'snoozed' THEN 'infinity'::timestamptz
                 ELSE resolve_due_at END) STORED
    ) WITH (fillfactor = 80)""",
    """CREATE TABLE notifier.case_answers (
        store text NOT NULL,
        response_id text NOT NULL,
        case_id text NOT NULL REFERENCES notifier.cases,
        part text NOT NULL,
        added_at timestamptz NOT NULL,
        retracted boolean NOT NULL DEFAULT false,
        PRIMARY KEY (store, response_id)
    )""",
    """CREATE TABLE notifier.deliveries (
        delivery_id text PRIMARY KEY,
        store text NOT NULL,
        case_id text NOT NULL REFERENCES notifier.cases,
        reason text NOT NULL,
        channel text NOT NULL,
        response_id text NOT NULL,
        received_at timestamptz NOT NULL,
        traceparent text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        state text NOT NULL DEFAULT 'pending'
            CONSTRAINT deliveries_state CHECK (state IN ('pending', 'sent', 'dead', 'cancelled')),
        attempt int NOT NULL DEFAULT 0,
        next_at timestamptz NOT NULL,
        lease_token text,
        settled_at timestamptz,
        last_status int,
        last_milliseconds int,
        last_reply text,
        last_error text,
        CONSTRAINT deliveries_once UNIQUE (case_id, reason, channel)
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)""",
    """CREATE TABLE notifier.history (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        case_id text NOT NULL REFERENCES notifier.cases,
        at timestamptz NOT NULL,
        who text NOT NULL,
        what text NOT NULL,
        detail jsonb NOT NULL
    )""",
)

_INDEXES = (
    "CREATE INDEX answers_by_customer ON notifier.answers (store, customer_ref)",
    """CREATE UNIQUE INDEX cases_one_live ON notifier.cases (store, customer_ref)
       WHERE status NOT IN ('closed', 'dismissed')""",
    "CREATE INDEX cases_by_customer ON notifier.cases (store, customer_ref)",
    "CREATE INDEX cases_by_clock ON notifier.cases (store, due_at, case_id)",
    "CREATE INDEX cases_by_owner ON notifier.cases (store, owner, due_at, case_id)",
    "CREATE INDEX cases_snoozed ON notifier.cases (snoozed_until) WHERE status = 'snoozed'",
    "CREATE INDEX case_answers_by_case ON notifier.case_answers (case_id)",
    """CREATE INDEX deliveries_due ON notifier.deliveries (store, channel, next_at)
       WHERE state = 'pending'""",
    "CREATE INDEX deliveries_by_state ON notifier.deliveries (store, state, delivery_id)",
    "CREATE INDEX history_by_case ON notifier.history (case_id, id)",
)
