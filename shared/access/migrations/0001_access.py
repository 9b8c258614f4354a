"""Keys, users and their membership of stores."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE access.keys (
            key_id text PRIMARY KEY,
            store text NOT NULL,
            kind text NOT NULL CHECK (kind IN ('secret', 'public')),
            scopes text[] NOT NULL,
            digest bytea NOT NULL,
            name text NOT NULL DEFAULT '',
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz,
            revoked_at timestamptz,
            last_used_at timestamptz
        )""")
    op.execute("CREATE INDEX keys_by_store ON access.keys (store)")
    op.execute("""
        CREATE TABLE access.users (
            user_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            email text NOT NULL UNIQUE,
            password_hash text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )""")
    op.execute("""
        CREATE TABLE access.members (
            user_id bigint NOT NULL REFERENCES access.users ON DELETE CASCADE,
            store text NOT NULL,
            role text NOT NULL CHECK (role IN ('agent', 'manager', 'admin')),
            PRIMARY KEY (user_id, store)
        )""")
