"""Folds customers: their facts become the stored ruling (tier, points, tags), under the lock of their
rows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from services.segmenter.facts import store as fact_store
from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.domain.records import Kind, OverrideRecord, names_customer
from services.segmenter.facts.erasing import LEDGER
from services.segmenter.facts.store import CustomerKey, FactKey
from services.segmenter.tiers import store as tier_store
from services.segmenter.tiers.domain.ruling import RulesByStore, judge
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
    rules_by_store: RulesByStore,
    now: datetime,
    stale: Collection[CustomerKey],
    left: Collection[CustomerKey] = (),
    traces: Mapping[CustomerKey, str] | None = None,
) -> int:
    """Merge the contacts of the `named` customers, and fold the `stale` ones at `now`.

    Returns how many rulings changed. Every named customer gets a row; one whose store the configuration lacks
    is folded when the store comes back. `left`: the stale ones from whom a fact went to somebody else; who
    has no other is no customer. `traces`: the trace context of the event that
    made a customer stale.
    """
    if not named:
        return 0
    rows = await tier_store.lock_customers(session, named)
    folding = {
        row.key
        for row in rows
        if row.key.store in rules_by_store and (row.ruling is None or row.key in stale)
    }
    records = await fact_store.facts_of_customers(session, folding)
    after: list[Customer] = []
    for row in rows:
        changed = replace(row, contact=row.contact.merged(named[row.key]))
        if row.key in folding:
            if row.key in left and not any(map(names_customer, records[row.key].values())):
                changed = replace(changed, contact=replace(changed.contact, known=False))
            await asyncio.sleep(0)  # a batch of busy customers must not keep heartbeats waiting
            _, ruling = judge(records[row.key], rules_by_store[row.key.store], now)
            changed = replace(changed, ruling=ruling, folded_at=now)
        after.append(_numbered(row, changed, now, (traces or {}).get(row.key, "")))
    await tier_store.save_customers(
        session, [new for new, old in zip(after, rows, strict=True) if new != old]
    )
    return sum(new.ruling != old.ruling for new, old in zip(after, rows, strict=True))


async def override(
    session: Session,
    customer: CustomerKey,
    record: OverrideRecord,
    *,
    fact_id: str,
    rules_by_store: RulesByStore,
) -> None:
    """Set a customer's tier by hand, from now on."""
    key = FactKey(customer.store, Kind.OVERRIDE, fact_id)
    await fact_store.save_facts(session, new={key: record}, known={})
    await refold(
        session, {customer: Contact()}, rules_by_store=rules_by_store, now=record.at, stale={customer}
    )


async def refold_pages(
    database: Database, rules_by_store: RulesByStore, store: str, clock: Clock, *, outdated_only: bool = False
) -> AsyncIterator[tuple[int, int]]:
    """Fold all customers of a store, page by page: yields how many were folded, and how many changed.

    `outdated_only`: only those that were folded by other rules than today's.
    """
    other_than = rules_by_store[store].programme.version if outdated_only else None
    after = ""
    while True:
        async with database.transaction() as session:
            await LEDGER.share(session)
            keys = await tier_store.page_of_customers(
                session, store, after=after, limit=_PAGE, other_than=other_than
            )
            named = {key: Contact() for key in keys}
            changed = await refold(session, named, rules_by_store=rules_by_store, now=clock(), stale=keys)
        if not keys:
            return
        yield len(keys), changed
        after = keys[-1].ref


def _numbered(old: Customer, new: Customer, now: datetime, trace: str) -> Customer:
    """The customer with the next `seq`, if what is published of them changed.

    Nothing is published of a customer who is only claimed, by a browser.
    """
    if not new.contact.known or new.ruling is None:
        return new
    if old.seq and old.ruling and old.ruling.published() == new.ruling.published():
        return new
    # By the clock, so that after a restore the next state is higher than any that was sent before.
    seq = max(old.seq + 1, int(now.timestamp() * 1000))
    if old.ruling and old.ruling.tier != new.ruling.tier:
        _log.info("customer.tier_changed", store=new.key.store, rule=new.ruling.reason, seq=seq)
    return replace(new, seq=seq, changed_at=now, traceparent=trace)
