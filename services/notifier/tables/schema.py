"""The schema that every table of the notifier stands in."""

from sqlalchemy import DateTime, MetaData

SCHEMA = "notifier"

metadata = MetaData(schema=SCHEMA)

MOMENT = DateTime(timezone=True)
