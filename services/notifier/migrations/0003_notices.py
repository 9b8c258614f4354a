"""Notices: what is told beside cases. Deliveries of them, digests, and channels that pause."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


_STATEMENTS = (
    """CREATE TABLE notifier.notices (
        notice_id text PRIMARY KEY,
        store text NOT NULL,
        kind text NOT NULL CONSTRAINT notices_kind
            CHECK (kind IN ('score_fell', 'silence', 'digest', 'report', 'test', 'escalated')),
        title text NOT NULL,
        detail jsonb NOT NULL,
        link text NOT NULL,
        urgent boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )""",
    "ALTER TABLE notifier.deliveries ALTER COLUMN case_id DROP NOT NULL",
    "ALTER TABLE notifier.deliveries ALTER COLUMN response_id DROP NOT NULL",
    "ALTER TABLE notifier.deliveries ADD COLUMN notice_id text REFERENCES notifier.notices",
    "ALTER TABLE notifier.deliveries ADD COLUMN digest_id text REFERENCES notifier.notices",
    "ALTER TABLE notifier.deliveries ADD COLUMN first_at timestamptz",
    """ALTER TABLE notifier.deliveries ADD CONSTRAINT deliveries_about_one
       CHECK (num_nonnulls(case_id, notice_id) = 1)""",
    """ALTER TABLE notifier.deliveries ADD CONSTRAINT deliveries_notice_once
       UNIQUE (notice_id, channel)""",
    "ALTER TABLE notifier.deliveries DROP CONSTRAINT deliveries_state",
    """ALTER TABLE notifier.deliveries ADD CONSTRAINT deliveries_state
       CHECK (state IN ('pending', 'sent', 'dead', 'cancelled', 'digested'))""",
    """CREATE INDEX deliveries_of_digest ON notifier.deliveries (digest_id, delivery_id)
       WHERE digest_id IS NOT NULL""",
    """CREATE INDEX deliveries_begun ON notifier.deliveries (store, channel, first_at)
       WHERE first_at IS NOT NULL""",
    """CREATE INDEX deliveries_settled ON notifier.deliveries (store, channel, settled_at)
       WHERE settled_at IS NOT NULL""",
    """CREATE TABLE notifier.channel_pauses (
        store text NOT NULL,
        channel text NOT NULL,
        paused_until timestamptz NOT NULL,
        PRIMARY KEY (store, channel)
    )""",
)
