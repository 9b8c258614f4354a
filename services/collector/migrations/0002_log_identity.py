"""Of which log the stored offsets and dead letters are, and to which logs the collector writes."""

from alembic import op

from shared.db.service_tables import log_identity_v1, written_logs_v1

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for statement in (*log_identity_v1("collector"), *written_logs_v1("collector")):
        op.execute(statement)
