"""Answers and the customers who gave them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.notifier.tables.schema import MOMENT, metadata

_REFS = "jsonb_path_query_array(revisions, '$.*.body.customer.ref')"

# A customer's row is locked before any of the customer's cases changes by an answer.
customers = Table(
    "customers",
    metadata,
    Column("store", Text, nullable=False),
    Column("customer_ref", Text, nullable=False),
    Column("seq", BigInteger, nullable=False, server_default=text("-1")),
    Column("tier", Text),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("risk", Text),
    Column("action", Text),
    Column("reasons", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    PrimaryKeyConstraint("store", "customer_ref"),
)

# Everything known of an answer that may open a case: event id -> {type, body}. Merging two of them is
# `||`, so that the order of arrival and repeats cannot matter. The columns after it are the fold of them,
# NULL while the original is unknown.
answers = Table(
    "answers",
    metadata,
    Column("store", Text, nullable=False),
    Column("response_id", Text, nullable=False),
    Column("customer_ref", Text),
    Column("revisions", JSONB, nullable=False),
    Column("first_seen_at", MOMENT, nullable=False, server_default=text("now()")),
    Column("metric", Text),
    Column("scale", Text),
    Column("score", Integer),
    Column("grp", Text),
    Column("answered_at", MOMENT),
    Column("received_at", MOMENT),
    Column("retracted", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("store", "response_id"),
    Index("answers_by_customer", "store", "customer_ref", "answered_at", "response_id"),
    Index("answers_by_arrival", "store", "received_at", "response_id"),
    # Several customers under one id: an erasure finds them all.
    Index(
        "answers_of_several",
        text(f"({_REFS})"),
        postgresql_using="gin",
        postgresql_where=text(f"jsonb_array_length({_REFS}) > 1"),
    ),
    # Changes whose original never came age out.
    Index("answers_of_nobody", "first_seen_at", postgresql_where=text("customer_ref IS NULL")),
)
