"""Answers, the series and day buckets that they count in, and the scores as published."""

from alembic import op

from shared.db.service_tables import tables_v1

revision = "0001"
down_revision = None


def upgrade() -> None:
    for statement in (*tables_v1("scorer"), *TABLES):
        op.execute(statement)


TABLES = (
    # One score without its window and policy: what is counted together.
    """CREATE TABLE scorer.series (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        store text NOT NULL,
        metric text NOT NULL,
        scale text NOT NULL,
        segment text NOT NULL,
        touchpoint text NOT NULL,
        UNIQUE (store, metric, scale, segment, touchpoint)
    )""",
    # The lock that guards everything about one respondent, and the tiers that the segmenter told.
    """CREATE TABLE scorer.respondents (
        store text NOT NULL,
        respondent text NOT NULL,
        tier_seq bigint NOT NULL DEFAULT -1,
        tiers jsonb NOT NULL DEFAULT '[]',
        PRIMARY KEY (store, respondent)
    )""",
    # `day`, `grp`, `score`, `series`: exactly where the answer was counted; null where it was not.
    """CREATE TABLE scorer.answers (
        store text NOT NULL,
        response_id text NOT NULL,
        respondent text,
        metric text,
        scale text,
        answered_at timestamptz,
        received_at timestamptz,
        ce_id text,
        fingerprint text,
        amended jsonb,
        retracted boolean NOT NULL DEFAULT false,
        latest boolean NOT NULL DEFAULT false,
        day date,
        grp smallint,
        score smallint,
        series int[],
        body text,
        PRIMARY KEY (store, response_id)
    )""",
    # The ragged ends of a window are read from this index alone.
    """CREATE INDEX answers_in_time ON scorer.answers (store, answered_at)
       INCLUDE (grp, latest, score, series) WHERE series IS NOT NULL""",
    "CREATE INDEX answers_of_respondent ON scorer.answers (store, respondent) WHERE respondent IS NOT NULL",
    """CREATE TABLE scorer.conflicts (
        store text NOT NULL,
        response_id text NOT NULL,
        fingerprint text NOT NULL,
        ce_id text NOT NULL,
        body text NOT NULL,
        PRIMARY KEY (store, response_id, fingerprint)
    )""",
    # A shard has one writer at a time: the lowest partition in its batch, or a job. Only sums mean anything.
    """CREATE TABLE scorer.buckets (
        series int NOT NULL,
        day date NOT NULL,
        shard smallint NOT NULL,
        detractors int NOT NULL,
        passives int NOT NULL,
        promoters int NOT NULL,
        points bigint NOT NULL,
        latest_detractors int NOT NULL,
        latest_passives int NOT NULL,
        latest_promoters int NOT NULL,
        latest_points bigint NOT NULL,
        changes bigint NOT NULL,
        PRIMARY KEY (series, day, shard)
    ) WITH (fillfactor = 70)""",
    # How often a writer changed a series; the publisher compares sums, so no mark is ever missed.
    """CREATE TABLE scorer.marks (
        series int NOT NULL,
        shard smallint NOT NULL,
        changes bigint NOT NULL,
        PRIMARY KEY (series, shard)
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE scorer.scores (
        series int NOT NULL REFERENCES scorer.series,
        policy text NOT NULL,
        "window" text NOT NULL,
        marks bigint NOT NULL,
        expires_at timestamptz,
        computed_at timestamptz NOT NULL,
        as_of timestamptz NOT NULL,
        figure jsonb NOT NULL,
        previous jsonb,
        seq bigint NOT NULL DEFAULT 1,
        published_seq bigint NOT NULL DEFAULT 0,
        published_at timestamptz,
        PRIMARY KEY (series, policy, "window")
    )""",
    "CREATE INDEX scores_unpublished ON scorer.scores (computed_at) WHERE seq > published_seq",
    "CREATE INDEX scores_expiring ON scorer.scores (expires_at)",
)
