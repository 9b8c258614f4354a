"""Since when alerts are held back."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # A hold's row is made when it begins and deleted when it ends.
    op.execute("ALTER TABLE notifier.channel_pauses ADD COLUMN made_at timestamptz NOT NULL DEFAULT now()")
