"""Answers whose customer was only claimed are those of a respondent apart."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(CLAIMED)


# Only where no body of the answer is verified. Cases stay with the customer for whom they were opened.
# All answers are read before the first is locked, and they are locked in the order in which consumers do it.
CLAIMED = """
    WITH claimed AS MATERIALIZED (
        SELECT store, response_id FROM notifier.answers
        WHERE customer_ref IS NOT NULL AND NOT customer_ref ^@ 'erased:' AND NOT customer_ref ^@ 'claimed:'
          AND revisions @? '$.*.body ? (@.verified == false)'
          AND NOT revisions @? '$.*.body ? (@.customer.ref != "" && !(@.verified == false))'
        ORDER BY store, response_id FOR UPDATE)
    UPDATE notifier.answers a SET customer_ref = 'claimed:' || a.customer_ref
    FROM claimed WHERE a.store = claimed.store AND a.response_id = claimed.response_id"""
