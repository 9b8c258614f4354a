"""What is kept of scores and of hours, and which falls and silences were told and are not over."""

from sqlalchemy import BigInteger, Column, Date, Integer, PrimaryKeyConstraint, Table, Text, text

from services.notifier.tables.schema import MOMENT, metadata

# The last figure of each local day; `seq` so that old news changes nothing.
score_samples = Table(
    "score_samples",
    metadata,
    Column("store", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("as_of", MOMENT, nullable=False),
    Column("n", Integer),
    Column("promoters", Integer),
    Column("passives", Integer),
    Column("detractors", Integer),
    PrimaryKeyConstraint("store", "key", "day"),
)

score_falls = Table(
    "score_falls",
    metadata,
    Column("store", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("since", MOMENT, nullable=False),
    Column("notice_id", Text, nullable=False),
    PrimaryKeyConstraint("store", "rule", "key"),
)

# One row for each partition that brought answers, so that consumers never wait for each other.
intake_hours = Table(
    "intake_hours",
    metadata,
    Column("store", Text, nullable=False),
    Column("touchpoint", Text, nullable=False),
    Column("hour", MOMENT, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("answers", Integer, nullable=False),
    Column("last_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("store", "touchpoint", "hour", "shard"),
)

silences = Table(
    "silences",
    metadata,
    Column("store", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("touchpoint", Text, nullable=False),
    Column("since", MOMENT, nullable=False),
    Column("notice_id", Text, nullable=False),
    PrimaryKeyConstraint("store", "rule", "touchpoint"),
)

# Totals of the metrics that must be exact after a crash.
tallies = Table(
    "tallies",
    metadata,
    Column("name", Text, primary_key=True),
    Column("total", BigInteger, nullable=False, server_default=text("0")),
    Column("upto", MOMENT, nullable=False, server_default=text("now()")),
)
