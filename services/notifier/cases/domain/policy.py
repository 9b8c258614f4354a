"""What a store has decided about its cases, in the words of the domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

from services.notifier.cases.domain.clocks import ELAPSED, BusinessHours, Clock, ClockKind
from services.notifier.cases.domain.rules import Rule
from services.notifier.domain.escalation import Step
from services.notifier.domain.teams import Team


@dataclass(frozen=True, slots=True)
class Policy:
    """`hours` of None: the store has no business hours, so its business clock runs around the clock."""

    rules: tuple[Rule, ...] = ()
    steps: tuple[Step, ...] = ()
    teams: dict[str, Team] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    """Those that are on."""
    reopens_within: timedelta = timedelta(days=30)
    hours: BusinessHours | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def clock(self, kind: ClockKind) -> Clock:
        return self.hours if kind is ClockKind.BUSINESS and self.hours else ELAPSED

    def lead(self, team: str | None) -> str | None:
        found = self.teams.get(team or "")
        return found.lead if found else None

    @property
    def compares(self) -> bool:
        """Whether any rule asks for the answer before."""
        return any(rule.when.fell_by is not None for rule in self.rules)


NO_POLICY = Policy()
"""Of a store that is not configured any more."""
