"""The fold of a customer's facts into the stored ruling, under the customer's lock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from services.segmenter.facts import store as facts
from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.domain.records import Kind, OverrideRecord
from services.segmenter.facts.erasing import LEDGER
from services.segmenter.facts.store import CustomerKey, FactKey
from services.segmenter.tiers import store as customers
from services.segmenter.tiers.domain.ruling import Rulebook, judge
from services.segmenter.tiers.store import Customer
from shared.db import Database, Session
from shared.ops.logs import log

_log = log("segmenter")

_PAGE = 500

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


async def refold(
    session: Session,
    named: Mapping[CustomerKey, Contact],
    *,
    book: Rulebook,
    now: datetime,
    stale: Collection[CustomerKey],
    traces: Mapping[CustomerKey, str] | None = None,
) -> int:
    """Merge what was said about customers, fold the stale ones at `now`; returns how many rulings changed.

    Every customer that is named gets a row; a store that the configuration lacks has it folded when the
    store comes back. `traces`: the trace context of whatever made them stale.
    """
    if not named:
        return 0
    rows = await customers.locked(session, named)
    folding = {row.key for row in rows if row.key.store in book and (row.ruling is None or row.key in stale)}
    records = await facts.of_customers(session, folding)
    after: list[Customer] = []
    for row in rows:
        changed = replace(row, contact=row.contact.merged(named[row.key]))
        if row.key in folding:
            await asyncio.sleep(0)  # a batch of busy customers must not keep heartbeats waiting
            _, ruling = judge(records[row.key], book[row.key.store], now)
            changed = replace(changed, ruling=ruling, folded_at=now)
        after.append(_numbered(row, changed, now, (traces or {}).get(row.key, "")))
    await customers.save(session, [new for new, old in zip(after, rows, strict=True) if new != old])
    return sum(new.ruling != old.ruling for new, old in zip(after, rows, strict=True))


async def override(
    session: Session, customer: CustomerKey, record: OverrideRecord, *, fact_id: str, book: Rulebook
) -> None:
    """Set a customer's tier by hand, from now on."""
    key = FactKey(customer.store, Kind.OVERRIDE, fact_id)
    await facts.save(session, new={key: record}, known={})
    await refold(session, {customer: Contact()}, book=book, now=record.at, stale={customer})


async def refolded(
    database: Database, book: Rulebook, store: str, clock: Clock, *, outdated_only: bool = False
) -> AsyncIterator[tuple[int, int]]:
    """Page by page: (folded, changed)."""
    other_than = book[store].programme.version if outdated_only else None
    after = ""
    while True:
        async with database.transaction() as session:
            await LEDGER.share(session)
            keys = await customers.page(session, store, after=after, limit=_PAGE, other_than=other_than)
            named = {key: Contact() for key in keys}
            changed = await refold(session, named, book=book, now=clock(), stale=keys)
        if not keys:
            return
        yield len(keys), changed
        after = keys[-1].ref


def _numbered(old: Customer, new: Customer, now: datetime, trace: str) -> Customer:
    """With the next `seq` if there is something to tell. Nothing is told of who is only claimed."""
    if not new.contact.known or new.ruling is None:
        return new
    if old.seq and old.ruling and old.ruling.figure() == new.ruling.figure():
        return new
    # By the clock, so that what a restored database says next is news to those who heard what it forgot.
    seq = max(old.seq + 1, int(now.timestamp() * 1000))
    if old.ruling and old.ruling.tier != new.ruling.tier:
        _log.info("customer.tier_changed", store=new.key.store, rule=new.ruling.reason, seq=seq)
    return replace(new, seq=seq, changed_at=now, traceparent=trace)
