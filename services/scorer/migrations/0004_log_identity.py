"""Of which log the stored offsets and dead letters are."""

from alembic import op

from shared.db.service_tables import log_identity_v1

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for statement in log_identity_v1("scorer"):
        op.execute(statement)
