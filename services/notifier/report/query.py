"""Which report is asked for: the address of a page or the parameters of a request, read and written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from services.notifier.cases.domain.case import Priority
from services.notifier.report.domain import (
    Period,
    UnknownPeriod,
    given_period,
    named_period,
)
from services.notifier.report.store import Scope
from shared.config.stores import Store

PATH = "/inbox/report"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which report: of a store's cases, over a period, as things are at `now`."""

    store: str
    period: Period
    now: datetime
    team: str | None = None
    priority: Priority | None = None

    @property
    def scope(self) -> Scope:
        return Scope(self.store, self.team, self.priority)


DEFAULT_PERIOD = "30d"


class NotAPeriod(ValueError):
    """`field` is the parameter that is wrong, the message says what would be right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def period_of(period: str | None, start: str | None, end: str | None, now: datetime, store: Store) -> Period:
    """By name, or from when to when; 30 days up to now when nothing is said. Raises NotAPeriod."""
    if period and (start or end):
        raise NotAPeriod("period", "Give either period, or from and to.")
    try:
        if start or end:
            if not start:
                raise NotAPeriod("from", "Say from when, as 2026-10-01T00:00:00+02:00.")
            return given_period(_moment("from", start), _moment("to", end) if end else now)
        return named_period(period or DEFAULT_PERIOD, now, store.zone)
    except UnknownPeriod as unknown:
        raise NotAPeriod("to" if start else "period", str(unknown)) from None


def _moment(field: str, text: str) -> datetime:
    # A plus that was not encoded reaches us as a space.
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 2000 <= moment.year <= 2200:
        raise NotAPeriod(field, "RFC 3339 with an offset, as 2026-10-01T00:00:00+02:00.")
    return moment


def asked_of(query: Mapping[str, str], store_name: str, store: Store, now: datetime) -> Asked:
    """The report that the address of a page names. Raises NotAPeriod, also for a priority that is none."""
    priority = query.get("priority") or None
    if priority is not None and priority not in Priority.__members__.values():
        raise NotAPeriod("priority", f"One of {', '.join(Priority)}.")
    period = period_of(query.get("period"), query.get("from"), query.get("to"), now, store)
    team = query.get("team") or None
    if team is not None and (len(team) > 64 or "\0" in team):
        raise NotAPeriod("team", "At most 64 characters.")
    return Asked(store_name, period, now, team, Priority(priority) if priority else None)


def query_of(asked: Asked, **given: str) -> str:
    """The query that names this report; what is given replaces or adds."""
    period = asked.period
    named: dict[str, str] = {"store": asked.store}
    if period.name:
        named["period"] = period.name
    else:
        named |= {"from": period.start.isoformat(), "to": period.end.isoformat()}
    named |= {"team": asked.team or "", "priority": asked.priority or ""}
    return urlencode({name: value for name, value in (named | given).items() if value})
