"""Who was erased, and what is still to be told of it; when facts were received."""

from alembic import op

from shared.db.service_tables import erasures_v1

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for statement in (*erasures_v1("segmenter"), *STATEMENTS):
        op.execute(statement)


STATEMENTS = (
    # Null: before this migration, so before every erasure.
    "ALTER TABLE segmenter.facts ADD COLUMN received_at timestamptz",
    # True: `ref` is a surrogate.
    "ALTER TABLE segmenter.customers ADD COLUMN erased boolean NOT NULL DEFAULT false",
    # The end of what others were told of a customer; gone once it is told.
    """CREATE TABLE segmenter.forgotten (
        store text NOT NULL,
        ref text NOT NULL,
        seq bigint NOT NULL,
        traceparent text NOT NULL,
        forgotten_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (store, ref)
    )""",
)
