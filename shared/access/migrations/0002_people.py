"""People with names, their sessions, and their wrong tries to sign in."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE access.users
            ALTER COLUMN password_hash DROP NOT NULL,
            ADD COLUMN name text NOT NULL DEFAULT '',
            ADD COLUMN active boolean NOT NULL DEFAULT true,
            ADD COLUMN shortcuts boolean NOT NULL DEFAULT true,
            ADD COLUMN password_version int NOT NULL DEFAULT 0""")
    op.execute("""
        CREATE TABLE access.sessions (
            digest bytea PRIMARY KEY,
            user_id bigint NOT NULL REFERENCES access.users ON DELETE CASCADE,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            last_seen_at timestamptz NOT NULL DEFAULT now()
        )""")
    op.execute("CREATE INDEX sessions_by_user ON access.sessions (user_id)")
    op.execute("CREATE INDEX sessions_by_end ON access.sessions (expires_at)")
    # Not who tried, only an HMAC of e-mail and address: the same pair is known again, and nothing else.
    op.execute("""
        CREATE TABLE access.sign_in_tries (
            pair bytea PRIMARY KEY,
            tries int NOT NULL,
            last_at timestamptz NOT NULL
        )""")
    op.execute("CREATE INDEX sign_in_tries_by_age ON access.sign_in_tries (last_at)")
