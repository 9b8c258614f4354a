"""Which report is asked for, as the address of a page or the parameters of the API name it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from services.notifier.cases.domain.case import Priority
from services.notifier.report.domain import InvalidPeriod, Period, given_period, named_period
from services.notifier.report.store import Scope
from shared.config.stores import Store
from shared.feedback.moments import InvalidMoment, parse_moment_of_query

PATH: Final = "/inbox/report"
"""The address of the report page."""

DEFAULT_PERIOD: Final = "30d"


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """A report of a store's cases over a period, as things are at `now`."""

    store: str
    period: Period
    now: datetime
    team: str | None = None
    priority: Priority | None = None

    @property
    def scope(self) -> Scope:
        return Scope(self.store, self.team, self.priority)


class InvalidQuery(ValueError):
    """No report can be read for a parameter: `field` is its name, the message says what would be right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def parse_period(
    period: str | None, start: str | None, end: str | None, now: datetime, store_config: Store
) -> Period:
    """The period of that name, or from `start` to `end`; without either, the 30 days up to now.

    Raises InvalidQuery.
    """
    if period and (start or end):
        raise InvalidQuery("period", "Give either period, or from and to.")
    try:
        if start or end:
            if not start:
                raise InvalidQuery("from", "Say from when, as 2026-10-01T00:00:00+02:00.")
            return given_period(_moment("from", start), _moment("to", end) if end else now)
        return named_period(period or DEFAULT_PERIOD, now, store_config.zone)
    except InvalidPeriod as invalid:
        raise InvalidQuery("to" if start else "period", str(invalid)) from None


def _moment(field: str, text: str) -> datetime:
    try:
        moment = parse_moment_of_query(text)
    except InvalidMoment:
        moment = None
    if moment is None or not 2000 <= moment.year <= 2200:
        raise InvalidQuery(field, "RFC 3339 with an offset, as 2026-10-01T00:00:00+02:00.")
    return moment


def query_of_address(
    parameters: Mapping[str, str], store: str, store_config: Store, now: datetime
) -> ReportQuery:
    """The report that the address of a page, or a form, names. Raises InvalidQuery."""
    priority = parameters.get("priority") or None
    if priority is not None and priority not in Priority.__members__.values():
        raise InvalidQuery("priority", f"One of {', '.join(Priority)}.")
    period = parse_period(
        parameters.get("period"), parameters.get("from"), parameters.get("to"), now, store_config
    )
    team = parameters.get("team") or None
    if team is not None and (len(team) > 64 or "\0" in team):
        raise InvalidQuery("team", "At most 64 characters.")
    return ReportQuery(store, period, now, team, Priority(priority) if priority else None)


def query_string(query: ReportQuery, **changes: str) -> str:
    """The part of an address behind the question mark that names this report, with some fields changed."""
    period = query.period
    fields: dict[str, str] = {"store": query.store}
    if period.name:
        fields["period"] = period.name
    else:
        fields |= {"from": period.start.isoformat(), "to": period.end.isoformat()}
    fields |= {"team": query.team or "", "priority": query.priority or ""}
    return urlencode({name: value for name, value in (fields | changes).items() if value})


def fixed_fields(query: ReportQuery, cause: str) -> dict[str, str]:
    """The customers of a root cause, with the moments of the period written out.

    The list then stays the same however late its form is sent.
    """
    fields = {
        "store": query.store,
        "cause": cause,
        "from": query.period.start.isoformat(),
        "to": min(query.period.end, query.now).isoformat(),
        "team": query.team or "",
        "priority": query.priority or "",
    }
    return {name: value for name, value in fields.items() if value}
