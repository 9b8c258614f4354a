"""Views of the inbox that people save."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """CREATE TABLE notifier.saved_views (
            view_id text PRIMARY KEY,
            store text NOT NULL,
            email text NOT NULL,
            name text NOT NULL,
            query text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT saved_views_once UNIQUE (store, email, name)
        )"""
    )
