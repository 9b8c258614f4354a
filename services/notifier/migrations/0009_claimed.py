"""Answers whose customer was only claimed are those of a respondent apart."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # Only where no body of the answer is verified. Cases stay with the customer for whom they were opened.
    op.execute("""
        UPDATE notifier.answers SET customer_ref = 'claimed:' || customer_ref
        WHERE customer_ref IS NOT NULL AND NOT customer_ref ^@ 'erased:' AND NOT customer_ref ^@ 'claimed:'
          AND revisions @? '$.*.body ? (@.verified == false)'
          AND NOT revisions @? '$.*.body ? (@.customer.ref != "" && @.verified != false)'""")
