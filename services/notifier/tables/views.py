"""Views of the inbox that people saved for themselves."""

from sqlalchemy import Column, Table, Text, UniqueConstraint, text

from services.notifier.tables.schema import MOMENT, metadata

# `query`: the address of the list behind the question mark, as `web.asking` writes it.
saved_views = Table(
    "saved_views",
    metadata,
    Column("view_id", Text, primary_key=True),
    Column("store", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("created_at", MOMENT, nullable=False, server_default=text("now()")),
    UniqueConstraint("store", "email", "name", name="saved_views_once"),
)
