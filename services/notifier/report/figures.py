"""The report as data: what it counts, and how sure each share is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.notifier.cases.domain.case import Outcome, Priority
from services.notifier.report import store as report
from services.notifier.report import store as told
from services.notifier.report import store as workload
from services.notifier.report.domain import (
    JUDGED_FROM,
    RECURRING_MONTHS,
    Period,
    Share,
    UnknownPeriod,
    given_period,
    judged,
    months_seen,
    months_upto,
    named_period,
)
from services.notifier.report.store import Channel, Contacts, Ended, Load, OpenNow, Scope
from shared.config.stores import Store
from shared.db import Session
from shared.feedback.comparison import Verdict


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


@dataclass(frozen=True, slots=True)
class Owner:
    """`enough`: whether share and median may be shown at all; of too few cases they judge nobody."""

    load: Load
    in_time: Share
    enough: bool


@dataclass(frozen=True, slots=True)
class Cause:
    """`months`: in how many of the last months it took a large share of what was closed."""

    cause: str
    cases: int
    before: int
    months: int
    of_months: int
    to_tell: int

    @property
    def change(self) -> int:
        return self.cases - self.before

    @property
    def recurring(self) -> bool:
        return self.months >= RECURRING_MONTHS


@dataclass(frozen=True, slots=True)
class Report:
    """`noted`: recovered as the owner says; `proved`: by the next answer, of those who answered again."""

    asked: Asked
    zone: str
    contacts: Contacts
    ended: Ended
    reopenings: int
    now: OpenNow
    contacted_in_time: Share
    resolved_in_time: Share
    reopened: Share
    reopened_before: Share
    reopened_verdict: Verdict
    outcomes: Mapping[str, int]
    noted: Share
    proved: Share
    owners: tuple[Owner, ...]
    causes: tuple[Cause, ...]
    channels: tuple[Channel, ...]


async def build(session: Session, asked: Asked, store: Store) -> Report:
    """Read everything at one moment: the session is a snapshot."""
    scope, period = asked.scope, asked.period
    start, end = period.start, period.end
    contacts = await report.contacts(session, scope, start, end, asked.now)
    ended = await report.ended(session, scope, start, end)
    before = await report.ended(session, scope, period.before, start)
    endings = await report.endings(session, scope, start, end)
    recovered, answered = await report.proved(session, scope, start, end)
    reopened, reopened_before = Share(ended.reopened, ended.closed), Share(before.reopened, before.closed)
    outcomes = _sums(endings, 1)
    return Report(
        asked=asked,
        zone=store.timezone,
        contacts=contacts,
        ended=ended,
        reopenings=await report.reopenings(session, scope, start, end),
        now=await report.open_now(session, scope, asked.now),
        contacted_in_time=Share(contacts.contact_in_time, contacts.contact_due),
        resolved_in_time=Share(contacts.resolve_in_time, contacts.resolve_due),
        reopened=reopened,
        reopened_before=reopened_before,
        reopened_verdict=judged(reopened_before, reopened),
        outcomes={outcome.value: outcomes.get(outcome.value, 0) for outcome in Outcome},
        noted=Share(outcomes.get(Outcome.RECOVERED.value, 0), ended.closed),
        proved=Share(recovered, answered),
        owners=tuple(_owner(load) for load in await workload.loads(session, scope, start, end, asked.now)),
        causes=await _causes(session, asked, store, _sums(endings, 0)),
        channels=tuple(await workload.channels(session, asked.store, start, end)),
    )


def _owner(load: Load) -> Owner:
    return Owner(load, Share(load.contact_in_time, load.contact_due), load.contact_due >= JUDGED_FROM)


async def _causes(session: Session, asked: Asked, store: Store, now: Mapping[str, int]) -> tuple[Cause, ...]:
    """The causes of what was closed, the most frequent first; and those that only the period before had."""
    scope, period = asked.scope, asked.period
    before = _sums(await report.endings(session, scope, period.before, period.start), 0)
    months = months_upto(min(period.end, asked.now), store.zone)
    seen = months_seen(await report.causes_by_month(session, scope, months))
    to_tell = await told.waiting(session, scope, period.start, period.end)
    names = sorted(now.keys() | before.keys(), key=lambda name: (-now.get(name, 0), name))
    return tuple(
        Cause(
            name, now.get(name, 0), before.get(name, 0), seen.get(name, 0), len(months), to_tell.get(name, 0)
        )
        for name in names
    )


def _sums(endings: Mapping[tuple[str, str], int], part: int) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, count in endings.items():
        sums[key[part]] = sums.get(key[part], 0) + count
    return sums


# Which report is meant, from what an address or a form says.

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
