"""Tables of the schema `segmenter`, beside those that every service has (`shared.db.plumbing`)."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="segmenter")

_TIME = DateTime(timezone=True)

facts = Table(
    "facts",
    metadata,
    Column("store", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("ref", Text, comment="whose fact it is; null while nobody's, or of somebody who stays unknown"),
    Column("body", JSONB, nullable=False, comment="a record of the domain; nothing personal but the ref"),
    Column("received_at", _TIME, comment="when the event came that named the customer"),
    PrimaryKeyConstraint("store", "kind", "id"),
)
Index(
    "facts_of_customer",
    facts.c.store,
    facts.c.ref,
    facts.c.kind,
    facts.c.id,
    postgresql_where=facts.c.ref.is_not(None),
)

customers = Table(
    "customers",
    metadata,
    Column("store", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("erased", Boolean, nullable=False, server_default=text("false"), comment="`ref` is a surrogate"),
    # Contact: the only personal data of this schema.
    Column("known", Boolean, nullable=False, server_default=text("false")),
    Column("customer_id", Text),
    Column("email", Text),
    Column("email_stamp", Text, nullable=False, server_default=text("''")),
    Column("name", Text),
    Column("name_stamp", Text, nullable=False, server_default=text("''")),
    Column("consent", Boolean),
    Column("consent_stamp", Text, nullable=False, server_default=text("''")),
    # Ruling: the fold of the customer's facts at `folded_at`.
    Column("tier", Text),
    Column("since", _TIME),
    Column("points", BigInteger, nullable=False, server_default=text("0")),
    Column("expires_at", _TIME),
    Column("grace_until", _TIME),
    Column("held_until", _TIME),
    Column("override_until", _TIME),
    Column("next_check_at", _TIME, comment="when time alone may change the ruling"),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("sentence", Text, nullable=False, server_default=text("''")),
    Column("rule_version", Text, nullable=False, server_default=text("''")),
    Column("history", JSONB, nullable=False, server_default=text("'[]'")),
    Column("folded_at", _TIME, nullable=False, server_default=func.now()),
    # The row is its own outbox.
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("changed_at", _TIME, nullable=False, server_default=func.now()),
    Column("traceparent", Text, nullable=False, server_default=text("''")),
    Column("published_seq", BigInteger, nullable=False, server_default=text("0")),
    Column("published_at", _TIME),
    PrimaryKeyConstraint("store", "ref"),
)
Index("customers_due", customers.c.next_check_at, postgresql_where=customers.c.next_check_at.is_not(None))
Index("customers_by_tier", customers.c.store, customers.c.tier, customers.c.ref)
Index("customers_by_tag", customers.c.tags, postgresql_using="gin")
Index(
    "customers_by_email",
    customers.c.store,
    func.lower(customers.c.email),
    postgresql_where=customers.c.email.is_not(None),
)
Index(
    "customers_unpublished",
    customers.c.changed_at,
    postgresql_where=customers.c.seq > customers.c.published_seq,
)

forgotten = Table(
    "forgotten",
    metadata,
    Column("store", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("forgotten_at", _TIME, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("store", "ref"),
)
