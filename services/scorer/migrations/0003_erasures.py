"""Who was erased; and whose the bodies are that lost, so that an erasure finds them."""

from alembic import op

from shared.db.service_tables import erasures_v1

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for statement in (*erasures_v1("scorer"), *STATEMENTS):
        op.execute(statement)


STATEMENTS = (
    "ALTER TABLE scorer.conflicts ADD COLUMN respondent text",
    "UPDATE scorer.conflicts SET respondent = body::json -> 'customer' ->> 'ref'",
    """CREATE INDEX conflicts_of_respondent ON scorer.conflicts (store, respondent)
       WHERE respondent IS NOT NULL""",
)
