"""Facts by natural key, and customers with the fold of their facts."""

from alembic import op

from shared.db.service_tables import tables_v1

revision = "0001"
down_revision = None

TABLES = (
    # `ref` says whose fact it is: null while its original has not arrived, and of an anonymous answer.
    # `body` is a record of `facts/domain`; nothing in it is personal but the ref.
    """CREATE TABLE segmenter.facts (
        store text NOT NULL,
        kind text NOT NULL,
        id text NOT NULL,
        ref text,
        body jsonb NOT NULL,
        PRIMARY KEY (store, kind, id)
    ) WITH (fillfactor = 90)""",
    "CREATE INDEX facts_of_customer ON segmenter.facts (store, ref, kind, id) WHERE ref IS NOT NULL",
    # From `known` to `consent_stamp`: the only personal data of this schema. From `tier` to `folded_at`: the
    # fold of the customer's facts at `folded_at`; time alone may change it at `next_check_at`. From `seq` on:
    # the row is its own outbox.
    """CREATE TABLE segmenter.customers (
        store text NOT NULL,
        ref text NOT NULL,
        known boolean NOT NULL DEFAULT false,
        customer_id text,
        email text,
        email_stamp text NOT NULL DEFAULT '',
        name text,
        name_stamp text NOT NULL DEFAULT '',
        consent boolean,
        consent_stamp text NOT NULL DEFAULT '',
        tier text,
        since timestamptz,
        points bigint NOT NULL DEFAULT 0,
        expires_at timestamptz,
        grace_until timestamptz,
        held_until timestamptz,
        override_until timestamptz,
        next_check_at timestamptz,
        tags text[] NOT NULL DEFAULT '{}',
        reason text NOT NULL DEFAULT '',
        sentence text NOT NULL DEFAULT '',
        rule_version text NOT NULL DEFAULT '',
        history jsonb NOT NULL DEFAULT '[]',
        folded_at timestamptz NOT NULL DEFAULT now(),
        seq bigint NOT NULL DEFAULT 0,
        changed_at timestamptz NOT NULL DEFAULT now(),
        traceparent text NOT NULL DEFAULT '',
        published_seq bigint NOT NULL DEFAULT 0,
        published_at timestamptz,
        PRIMARY KEY (store, ref)
    ) WITH (fillfactor = 80)""",
    "CREATE INDEX customers_due ON segmenter.customers (next_check_at) WHERE next_check_at IS NOT NULL",
    "CREATE INDEX customers_by_tier ON segmenter.customers (store, tier, ref)",
    "CREATE INDEX customers_by_tag ON segmenter.customers USING gin (tags)",
    """CREATE INDEX customers_by_email ON segmenter.customers (store, lower(email))
       WHERE email IS NOT NULL""",
    "CREATE INDEX customers_unpublished ON segmenter.customers (changed_at) WHERE seq > published_seq",
)


def upgrade() -> None:
    for statement in (*tables_v1("segmenter"), *TABLES):
        op.execute(statement)
