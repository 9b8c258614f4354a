"""Samples of watched scores, hours of answers, and what the report and its metrics read."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


_STATEMENTS = (
    # The last figure of each local day; `seq` so that old news changes nothing.
    """CREATE TABLE notifier.score_samples (
        store text NOT NULL,
        key text NOT NULL,
        day date NOT NULL,
        seq bigint NOT NULL,
        as_of timestamptz NOT NULL,
        n int,
        promoters int,
        passives int,
        detractors int,
        PRIMARY KEY (store, key, day)
    ) WITH (fillfactor = 80)""",
    """CREATE TABLE notifier.score_falls (
        store text NOT NULL,
        key text NOT NULL,
        rule text NOT NULL,
        since timestamptz NOT NULL,
        notice_id text NOT NULL,
        PRIMARY KEY (store, rule, key)
    )""",
    # One row for each partition that brought answers, so that consumers never wait for each other.
    """CREATE TABLE notifier.intake_hours (
        store text NOT NULL,
        touchpoint text NOT NULL,
        hour timestamptz NOT NULL,
        shard int NOT NULL,
        answers int NOT NULL,
        last_at timestamptz NOT NULL,
        PRIMARY KEY (store, touchpoint, hour, shard)
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE notifier.silences (
        store text NOT NULL,
        rule text NOT NULL,
        touchpoint text NOT NULL,
        since timestamptz NOT NULL,
        notice_id text NOT NULL,
        PRIMARY KEY (store, rule, touchpoint)
    )""",
    # Totals of the metrics that must be exact after a crash.
    """CREATE TABLE notifier.tallies (
        name text PRIMARY KEY,
        total bigint NOT NULL DEFAULT 0,
        upto timestamptz NOT NULL DEFAULT now()
    )""",
    """ALTER TABLE notifier.cases
        ADD COLUMN first_contact_breached boolean NOT NULL DEFAULT false,
        ADD COLUMN resolve_breached int NOT NULL DEFAULT 0""",
    # These hold a case only while its breach is to be counted or may come, so they stay small.
    """CREATE INDEX cases_first_contact_breach ON notifier.cases (first_contact_due_at)
       WHERE NOT first_contact_breached AND (first_contact_at > first_contact_due_at
             OR (first_contact_at IS NULL AND status NOT IN ('closed', 'dismissed')))""",
    """CREATE INDEX cases_resolve_breach ON notifier.cases (resolve_due_at)
       WHERE resolve_breached <= reopened AND (resolved_at > resolve_due_at
             OR (resolved_at IS NULL AND status NOT IN ('closed', 'dismissed', 'snoozed')))""",
    """CREATE INDEX cases_open_by_age ON notifier.cases (priority, team, opened_at)
       WHERE status NOT IN ('closed', 'dismissed')""",
    "CREATE INDEX cases_by_opening ON notifier.cases (store, opened_at)",
    """CREATE INDEX history_of_clocks ON notifier.history (at) INCLUDE (case_id, what)
       WHERE what IN ('contacted', 'closed', 'reopened', 'dismissed')""",
    "CREATE INDEX deliveries_by_time ON notifier.deliveries (store, created_at)",
)
