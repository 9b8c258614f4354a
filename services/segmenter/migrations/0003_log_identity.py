"""Of which log the stored offsets and dead letters are."""

from alembic import op

from shared.db.service_tables import log_identity_v1

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for statement in log_identity_v1("segmenter"):
        op.execute(statement)
