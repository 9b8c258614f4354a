"""Of which log the stored offsets and dead letters are."""

from alembic import op

from shared.db.service_tables import log_identity_v1

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for statement in log_identity_v1("notifier"):
        op.execute(statement)
