"""A case that was opened just now."""

from datetime import UTC, datetime, timedelta

from services.notifier.cases.domain.case import Case, Priority, Status

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
CASE = Case(
    case_id="1",
    store="s",
    customer_ref="c",
    response_id="r",
    status=Status.OPEN,
    priority=Priority.NORMAL,
    rule="default",
    config_version="v",
    verified=True,
    opened_at=NOW,
    first_contact_due_at=NOW + timedelta(hours=24),
    resolve_due_at=NOW + timedelta(hours=72),
    resolve_hours=72,
    standing=frozenset({"r"}),
)
