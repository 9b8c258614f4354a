"""What stands around a case: its answers, history, watchers, escalation steps and turns."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.notifier.tables.schema import MOMENT, SCHEMA, metadata

# The primary key is the promise that no answer has two cases.
case_answers = Table(
    "case_answers",
    metadata,
    Column("store", Text, nullable=False),
    Column("response_id", Text, nullable=False),
    Column("case_id", Text, ForeignKey(f"{SCHEMA}.cases.case_id"), nullable=False),
    Column("part", Text, nullable=False),
    Column("added_at", MOMENT, nullable=False),
    Column("retracted", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("store", "response_id"),
    Index("case_answers_by_case", "case_id"),
)

# Append-only: who did what to a case, and when.
history = Table(
    "history",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("case_id", Text, ForeignKey(f"{SCHEMA}.cases.case_id"), nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    # The case's version after this; several entries may share one.
    Column("version", Integer),
    Index("history_by_case", "case_id", "id"),
    Index(
        "history_of_clocks",
        "at",
        postgresql_include=["case_id", "what"],
        postgresql_where=text("what IN ('contacted', 'closed', 'reopened', 'dismissed')"),
    ),
)

case_watchers = Table(
    "case_watchers",
    metadata,
    Column("case_id", Text, ForeignKey(f"{SCHEMA}.cases.case_id"), nullable=False),
    Column("who", Text, nullable=False),
    PrimaryKeyConstraint("case_id", "who"),
    Index("case_watchers_by_who", "who", "case_id"),
)

# The primary key is the promise that an escalation step is taken at most once for a case.
case_steps = Table(
    "case_steps",
    metadata,
    Column("case_id", Text, ForeignKey(f"{SCHEMA}.cases.case_id"), nullable=False),
    Column("step", Text, nullable=False),
    Column("at", MOMENT, nullable=False),
    PrimaryKeyConstraint("case_id", "step"),
)

# Whose turn it is in a team; the row's lock makes the turns of concurrent batches fair.
turns = Table(
    "turns",
    metadata,
    Column("store", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("taken", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("store", "team"),
)

# By which escalation steps the cases of a store are planned, and how far a change of them has come.
plans = Table(
    "plans",
    metadata,
    Column("store", Text, primary_key=True),
    Column("escalation", Text, nullable=False, server_default=text("''")),
    Column("wanted", Text, nullable=False, server_default=text("''")),
    Column("after_case", Text, nullable=False, server_default=text("''")),
)
