"""All figures of a report, read at one moment and put together from the store's counts and the arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.notifier.cases.domain.case import Outcome
from services.notifier.report import store
from services.notifier.report.domain import (
    LEAST_CASES_TO_JUDGE,
    RECURRING_MONTHS,
    Share,
    compare_shares,
    months_seen,
    months_upto,
)
from services.notifier.report.query import ReportQuery
from services.notifier.report.store import ChannelDeliveries, Contacts, Ended, OpenNow, OwnerLoad
from shared.config.stores import Store
from shared.db import Session
from shared.feedback.comparison import Verdict


@dataclass(frozen=True, slots=True)
class OwnerFigures:
    """One owner. `enough`: whether the share and the median may be shown; too few cases judge nobody."""

    load: OwnerLoad
    in_time: Share
    enough: bool


@dataclass(frozen=True, slots=True)
class CauseFigures:
    """One root cause. `months`: in how many of the last `of_months` it took a large share of the closings."""

    cause: str
    cases: int
    before: int
    months: int
    of_months: int
    customers_to_inform: int

    @property
    def change(self) -> int:
        return self.cases - self.before

    @property
    def recurring(self) -> bool:
        return self.months >= RECURRING_MONTHS


@dataclass(frozen=True, slots=True)
class Report:
    """Every figure of a report, as the API, the page, the CSV and the weekly message show them.

    `noted`: recovered as the owner says. `proved`: recovered by the customer's next answer, of those who
    answered again. `before` in a name: in the period that this one is compared with.
    """

    query: ReportQuery
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
    owners: tuple[OwnerFigures, ...]
    causes: tuple[CauseFigures, ...]
    channels: tuple[ChannelDeliveries, ...]


async def build_report(session: Session, query: ReportQuery, store_config: Store) -> Report:
    """Read every figure. The session must be a snapshot, so that all are of one moment."""
    scope, period = query.scope, query.period
    start, end = period.start, period.end
    contacts = await store.contacts(session, scope, start, end, query.now)
    ended = await store.ended(session, scope, start, end)
    ended_before = await store.ended(session, scope, period.before, start)
    closings_by_cause_and_outcome = await store.closings_by_cause_and_outcome(session, scope, start, end)
    recovered, answered = await store.proved_recoveries(session, scope, start, end)
    reopened = Share(ended.reopened, ended.closed)
    reopened_before = Share(ended_before.reopened, ended_before.closed)
    outcomes = _sums(closings_by_cause_and_outcome, 1)
    loads = await store.owner_loads(session, scope, start, end, query.now)
    return Report(
        query=query,
        zone=store_config.timezone,
        contacts=contacts,
        ended=ended,
        reopenings=await store.reopenings(session, scope, start, end),
        now=await store.open_now(session, scope, query.now),
        contacted_in_time=Share(contacts.contact_in_time, contacts.contact_due),
        resolved_in_time=Share(contacts.resolve_in_time, contacts.resolve_due),
        reopened=reopened,
        reopened_before=reopened_before,
        reopened_verdict=compare_shares(reopened_before, reopened),
        outcomes={outcome.value: outcomes.get(outcome.value, 0) for outcome in Outcome},
        noted=Share(outcomes.get(Outcome.RECOVERED.value, 0), ended.closed),
        proved=Share(recovered, answered),
        owners=tuple(_owner(load) for load in loads),
        causes=await _causes(session, query, store_config, _sums(closings_by_cause_and_outcome, 0)),
        channels=tuple(await store.channel_deliveries(session, query.store, start, end)),
    )


def _owner(load: OwnerLoad) -> OwnerFigures:
    enough = load.contact_due >= LEAST_CASES_TO_JUDGE
    return OwnerFigures(load, Share(load.contact_in_time, load.contact_due), enough)


async def _causes(
    session: Session, query: ReportQuery, store_config: Store, closed: Mapping[str, int]
) -> tuple[CauseFigures, ...]:
    """The causes of closed cases, the most frequent first; then those that only the period before had.

    `closed`: the closed cases of the period by cause.
    """
    scope, period = query.scope, query.period
    endings_before = await store.closings_by_cause_and_outcome(session, scope, period.before, period.start)
    closed_before = _sums(endings_before, 0)
    months = months_upto(min(period.end, query.now), store_config.zone)
    months_of_cause = months_seen(await store.causes_by_month(session, scope, months))
    to_inform = await store.count_customers_to_inform(session, scope, period.start, period.end)
    causes = sorted(closed.keys() | closed_before.keys(), key=lambda cause: (-closed.get(cause, 0), cause))
    return tuple(
        CauseFigures(
            cause,
            closed.get(cause, 0),
            closed_before.get(cause, 0),
            months_of_cause.get(cause, 0),
            len(months),
            to_inform.get(cause, 0),
        )
        for cause in causes
    )


def _sums(closings_by_cause_and_outcome: Mapping[tuple[str, str], int], part: int) -> dict[str, int]:
    """Closed cases by one part of their key: 0 for the root cause, 1 for the outcome."""
    sums: dict[str, int] = {}
    for key, count in closings_by_cause_and_outcome.items():
        sums[key[part]] = sums.get(key[part], 0) + count
    return sums
