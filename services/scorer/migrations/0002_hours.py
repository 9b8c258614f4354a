"""Hours counted once they are over, so that the ragged ends of a window cost the same at any size."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


STATEMENTS = (
    # How often a writer changed what an hour holds; each shard has one writer at a time.
    """CREATE TABLE scorer.hour_marks (
        store text NOT NULL,
        hour timestamptz NOT NULL,
        shard smallint NOT NULL,
        changes bigint NOT NULL,
        touched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (store, hour, shard)
    ) WITH (fillfactor = 50)""",
    # The hours that were counted, and at how many changes: with any other number they say nothing.
    """CREATE TABLE scorer.counted_hours (
        store text NOT NULL,
        hour timestamptz NOT NULL,
        changes bigint NOT NULL,
        used boolean NOT NULL,
        PRIMARY KEY (store, hour)
    )""",
    """CREATE TABLE scorer.hours (
        series int NOT NULL,
        hour timestamptz NOT NULL,
        detractors int NOT NULL,
        passives int NOT NULL,
        promoters int NOT NULL,
        points bigint NOT NULL,
        latest_detractors int NOT NULL,
        latest_passives int NOT NULL,
        latest_promoters int NOT NULL,
        latest_points bigint NOT NULL,
        PRIMARY KEY (series, hour)
    )""",
    """INSERT INTO scorer.hour_marks (store, hour, shard, changes)
       SELECT store, date_trunc('hour', answered_at, 'UTC'), -1, 1 FROM scorer.answers
       WHERE series IS NOT NULL GROUP BY 1, 2""",
    # Without `latest`, so that an answer can stop being it without new entries in three indexes.
    "DROP INDEX scorer.answers_in_time",
    """CREATE INDEX answers_in_time ON scorer.answers (store, answered_at)
       INCLUDE (grp, score, series) WHERE series IS NOT NULL""",
    "ALTER TABLE scorer.answers SET (fillfactor = 85)",
)
