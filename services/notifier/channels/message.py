"""What an alert says, before a channel gives it its form."""

from dataclasses import dataclass
from datetime import datetime

from services.notifier.domain import Answer, Case


@dataclass(frozen=True, slots=True)
class Message:
    """`id` stays the same over every attempt: receivers drop a repeat by it."""

    id: str
    reason: str
    created_at: datetime
    case: Case
    answer: Answer | None
    """None when its revisions are gone."""
    tier: str | None
    tags: tuple[str, ...]
    case_url: str
    traceparent: str

    @property
    def type(self) -> str:
        """`case.opened`, `case.reopened` or `case.raised`."""
        return f"case.{self.reason.partition(':')[0]}"
