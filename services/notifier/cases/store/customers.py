"""Customers with their tier and tags, and the lock that is taken before their answers and cases."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import text

from shared.db import Session

Ref = tuple[str, str]
"""(store, customer reference)"""


@dataclass(frozen=True, slots=True)
class Customer:
    """What the loyalty programme last said; `tier` is None until it said something."""

    tier: str | None = None
    tags: tuple[str, ...] = ()
    risk: str | None = None
    action: str | None = None
    """What it recommends to do for the customer."""
    reasons: tuple[str, ...] = ()
    """Why, the strongest first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A customer's state as an event tells it."""

    ref: Ref
    seq: int
    tier: str
    tags: tuple[str, ...]
    risk: str | None = None
    action: str | None = None
    reasons: tuple[str, ...] = ()


_COLUMNS = "store, customer_ref, tier, tags, risk, action, reasons"


async def lock(session: Session, refs: Iterable[Ref]) -> dict[Ref, Customer]:
    """Make this transaction the only one that changes these customers' answers and cases."""
    customers = sorted(set(refs))
    locked: dict[Ref, Customer] = {}
    # Who becomes a customer while this waits is not in its snapshot, and is locked by the next look.
    while missing := [ref for ref in customers if ref not in locked]:
        rows = await session.execute(
            text(f"""WITH wanted AS (
                         SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]))),
                     made AS (
                         INSERT INTO notifier.customers (store, customer_ref)
                         SELECT * FROM wanted ORDER BY 1, 2 ON CONFLICT DO NOTHING RETURNING {_COLUMNS}),
                     held AS (
                         SELECT {_COLUMNS} FROM notifier.customers
                         WHERE (store, customer_ref) IN (SELECT * FROM wanted)
                         ORDER BY store, customer_ref FOR UPDATE)
                     SELECT * FROM made UNION ALL SELECT * FROM held"""),
            {"stores": [store for store, _ in missing], "refs": [ref for _, ref in missing]},
        )
        locked |= {(r.store, r.customer_ref): _customer(r) for r in rows}
    return locked


async def known(session: Session, refs: Iterable[Ref]) -> dict[Ref, Customer]:
    """What is known of these customers."""
    customers = sorted(set(refs))
    rows = await session.execute(
        text(f"""SELECT {_COLUMNS} FROM notifier.customers
                WHERE (store, customer_ref) IN
                      (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[])))"""),
        {"stores": [store for store, _ in customers], "refs": [ref for _, ref in customers]},
    )
    return {(r.store, r.customer_ref): _customer(r) for r in rows}


async def learn(session: Session, standings: Iterable[Standing]) -> dict[Ref, Customer]:
    """Keep the state with the highest `seq` of each customer; returns the customers that changed."""
    newest: dict[Ref, Standing] = {}
    for standing in standings:
        if standing.ref not in newest or newest[standing.ref].seq < standing.seq:
            newest[standing.ref] = standing
    if not newest:
        return {}
    rows = [newest[ref] for ref in sorted(newest)]
    changed = await session.execute(
        text("""UPDATE notifier.customers c SET seq = n.seq, tier = n.tier,
                       risk = n.risk, action = n.action,
                       tags = ARRAY(SELECT jsonb_array_elements_text(CAST(n.tags AS jsonb))),
                       reasons = ARRAY(SELECT jsonb_array_elements_text(CAST(n.reasons AS jsonb)))
                FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:seqs AS bigint[]),
                            CAST(:tiers AS text[]), CAST(:risks AS text[]), CAST(:actions AS text[]),
                            CAST(:tags AS text[]), CAST(:reasons AS text[]))
                     AS n(store, ref, seq, tier, risk, action, tags, reasons)
                WHERE c.store = n.store AND c.customer_ref = n.ref AND c.seq < n.seq
                RETURNING c.store, c.customer_ref, c.tier, c.tags, c.risk, c.action, c.reasons"""),
        {
            "stores": [row.ref[0] for row in rows],
            "refs": [row.ref[1] for row in rows],
            "seqs": [row.seq for row in rows],
            "tiers": [row.tier for row in rows],
            "risks": [row.risk for row in rows],
            "actions": [row.action for row in rows],
            "tags": [orjson.dumps(row.tags).decode() for row in rows],
            "reasons": [orjson.dumps(row.reasons).decode() for row in rows],
        },
    )
    return {(r.store, r.customer_ref): _customer(r) for r in changed}


def _customer(row: Any) -> Customer:
    return Customer(row.tier, tuple(row.tags), row.risk, row.action, tuple(row.reasons))
