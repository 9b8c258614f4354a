"""The tables that every service has."""

from alembic import op

from shared.db.service_tables import tables_v1

revision = "0001"
down_revision = None


def upgrade() -> None:
    for statement in tables_v1("collector"):
        op.execute(statement)
