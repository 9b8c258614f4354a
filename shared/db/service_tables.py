"""The tables that every service has beside its own, as its first migration creates them.

Do not change these functions: a change of a table is a new function, and a new migration in each service.
"""


def tables_v1(schema: str) -> list[str]:
    """DDL of `progress`, `dead_letters`, `leases` and `outbox`."""
    return [
        f"CREATE SCHEMA IF NOT EXISTS {schema}",
        f"""CREATE TABLE {schema}.progress (
            consumer text NOT NULL,
            topic text NOT NULL,
            partition int NOT NULL,
            next_offset bigint NOT NULL,
            moved_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (consumer, topic, partition)
        ) WITH (fillfactor = 50)""",
        f"""CREATE TABLE {schema}.dead_letters (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            consumer text NOT NULL,
            topic text NOT NULL,
            partition int NOT NULL,
            "offset" bigint NOT NULL,
            reason text NOT NULL,
            detail text NOT NULL,
            key bytea,
            value bytea,
            headers jsonb NOT NULL,
            correlation_id text NOT NULL,
            dead_at timestamptz NOT NULL DEFAULT now(),
            state text NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'replayed', 'discarded')),
            settled_at timestamptz,
            UNIQUE (consumer, topic, partition, "offset")
        )""",
        f"""CREATE TABLE {schema}.leases (
            name text PRIMARY KEY,
            owner text NOT NULL,
            until timestamptz NOT NULL,
            clean boolean NOT NULL
        )""",
        f"""CREATE TABLE {schema}.outbox (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            event_id text NOT NULL,
            type text NOT NULL,
            topic text NOT NULL,
            key bytea NOT NULL,
            body bytea NOT NULL,
            traceparent text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        ) WITH (autovacuum_vacuum_scale_factor = 0.02)""",
    ]


def erasures_v1(schema: str) -> list[str]:
    """DDL of `erasures`, the permanent ledger of `shared.db.erasures`."""
    return [
        f"""CREATE TABLE {schema}.erasures (
            store text NOT NULL,
            ref text NOT NULL,
            erased_at timestamptz NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (store, ref)
        )"""
    ]


def log_identity_v1(schema: str) -> list[str]:
    """DDL of the topic's id beside offsets and dead letters, and of `adopted_logs`.

    The unique key of `dead_letters` stays as it is, because the release before this one names it in its
    inserts. A letter of a former log whose place is needed moves to `former_dead_letters`: it inherits from
    `dead_letters`, so every query of that table sees it, and a unique key holds for one table alone.
    """
    return [
        f"ALTER TABLE {schema}.progress ADD COLUMN topic_id uuid",
        f"ALTER TABLE {schema}.dead_letters ADD COLUMN topic_id uuid",
        f"""CREATE TABLE {schema}.former_dead_letters (PRIMARY KEY (id))
            INHERITS ({schema}.dead_letters)""",
        f"""CREATE TABLE {schema}.adopted_logs (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            consumer text NOT NULL,
            topic text NOT NULL,
            partition int NOT NULL,
            former_topic_id uuid,
            former_offset bigint,
            topic_id uuid NOT NULL,
            next_offset bigint,
            adopted_at timestamptz NOT NULL DEFAULT now(),
            adopted_by text NOT NULL
        )""",
    ]


def written_logs_v1(schema: str) -> list[str]:
    """DDL of `written_logs`: the log that the service first found under each name to which it writes."""
    return [
        f"""CREATE TABLE {schema}.written_logs (
            topic text PRIMARY KEY,
            topic_id uuid NOT NULL,
            since timestamptz NOT NULL DEFAULT now()
        )"""
    ]
