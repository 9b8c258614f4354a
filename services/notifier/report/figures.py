"""The report as data: what it counts, and how sure each share is."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.notifier.cases.domain.case import Outcome
from services.notifier.report import store as report
from services.notifier.report import store as told
from services.notifier.report import store as workload
from services.notifier.report.domain import (
    JUDGED_FROM,
    RECURRING_MONTHS,
    Share,
    judged,
    months_seen,
    months_upto,
)
from services.notifier.report.query import Asked
from services.notifier.report.store import Channel, Contacts, Ended, Load, OpenNow
from shared.config.stores import Store
from shared.db import Session
from shared.feedback.comparison import Verdict


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
