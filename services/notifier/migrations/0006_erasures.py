"""Who was erased; and where several customers answered under one id, so that an erasure finds them all."""

from alembic import op

from shared.db.service_tables import erasures_v1

revision = "0006"
down_revision = "0005"

_REFS = "jsonb_path_query_array(revisions, '$.*.body.customer.ref')"


def upgrade() -> None:
    for statement in (*erasures_v1("notifier"), *_STATEMENTS):
        op.execute(statement)


_STATEMENTS = (
    f"""CREATE INDEX answers_of_several ON notifier.answers USING gin (({_REFS}))
        WHERE jsonb_array_length({_REFS}) > 1""",
    # Changes whose original never came: nothing says whose they are.
    "CREATE INDEX answers_of_nobody ON notifier.answers (first_seen_at) WHERE customer_ref IS NULL",
)
