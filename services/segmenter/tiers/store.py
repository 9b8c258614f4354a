"""The rows of customers: contact and ruling, their locks, and who is due to be folded."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import text

from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.store import CustomerKey, key_columns
from services.segmenter.tiers.domain.ruling import Ruling
from services.segmenter.tiers.domain.standing import Transition
from shared.db import Session

HISTORY: TypeAdapter[tuple[Transition, ...]] = TypeAdapter(tuple[Transition, ...])
"""The stored form of a customer's changes of tier."""


@dataclass(frozen=True, slots=True)
class Customer:
    """The row of a customer, without what was published of it.

    `ruling` is None until the first fold: at the row's birth, and while the configuration lacks its store.
    """

    key: CustomerKey
    contact: Contact
    ruling: Ruling | None
    folded_at: datetime
    seq: int
    changed_at: datetime
    traceparent: str


_CONTACT = [field.name for field in fields(Contact)]
_RULING = [field.name for field in fields(Ruling)]
_COLUMNS = ["store", "ref", *_CONTACT, *_RULING, "folded_at", "seq", "changed_at", "traceparent"]
_SELECTED = ", ".join(f"CAST(c.{name} AS text)" if name == "history" else f"c.{name}" for name in _COLUMNS)

_MAKE = text("""
    INSERT INTO segmenter.customers (store, ref)
    SELECT store, ref FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS k(store, ref)
    ORDER BY store, ref ON CONFLICT DO NOTHING""")

_LOCK = text(f"""
    SELECT {_SELECTED} FROM segmenter.customers c
    JOIN unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS k(store, ref)
      ON c.store = k.store AND c.ref = k.ref
    ORDER BY c.store, c.ref FOR UPDATE OF c""")

_READ = text(f"""
    SELECT {_SELECTED} FROM segmenter.customers c
    JOIN unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS k(store, ref)
      ON c.store = k.store AND c.ref = k.ref""")

_SAVE = text("""
    UPDATE segmenter.customers c SET
        known = r.known, customer_id = r.customer_id, email = r.email, email_stamp = r.email_stamp,
        name = r.name, name_stamp = r.name_stamp, consent = r.consent, consent_stamp = r.consent_stamp,
        tier = r.tier, since = r.since, points = r.points, expires_at = r.expires_at,
        grace_until = r.grace_until, held_until = r.held_until, override_until = r.override_until,
        next_check_at = r.next_check_at, tags = ARRAY(SELECT jsonb_array_elements_text(r.tags)),
        reason = r.reason, sentence = r.sentence, rule_version = r.rule_version, history = r.history,
        folded_at = r.folded_at, seq = r.seq, changed_at = r.changed_at, traceparent = r.traceparent
    FROM json_to_recordset(CAST(:rows AS json)) AS r(
        store text, ref text, known boolean, customer_id text, email text, email_stamp text, name text,
        name_stamp text, consent boolean, consent_stamp text, tier text, since timestamptz, points bigint,
        expires_at timestamptz, grace_until timestamptz, held_until timestamptz, override_until timestamptz,
        next_check_at timestamptz, tags jsonb, reason text, sentence text, rule_version text, history jsonb,
        folded_at timestamptz, seq bigint, changed_at timestamptz, traceparent text)
    WHERE c.store = r.store AND c.ref = r.ref""")

_DUE = text("""
    SELECT store, ref FROM segmenter.customers
    WHERE next_check_at <= :now AND store = ANY(CAST(:stores AS text[]))
    ORDER BY next_check_at LIMIT :limit FOR UPDATE SKIP LOCKED""")

_NEXT_DUE = text("""
    SELECT min(next_check_at) FROM segmenter.customers WHERE store = ANY(CAST(:stores AS text[]))""")

_PAGE = text("""
    SELECT ref FROM segmenter.customers
    WHERE store = :store AND ref > :after
      AND (CAST(:other_than AS text) IS NULL OR rule_version <> :other_than)
    ORDER BY ref LIMIT :limit""")


async def lock_customers(session: Session, keys: Collection[CustomerKey]) -> list[Customer]:
    """The rows of these customers, made where missing, locked until the transaction ends; sorted by key.

    A row is made before anything is known of the customer, so that two writers of a new customer wait for
    each other.
    """
    columns = key_columns(keys)
    await session.execute(_MAKE, columns)
    return [_customer(row) for row in await session.execute(_LOCK, columns)]


async def lock_existing(session: Session, keys: Collection[CustomerKey]) -> list[Customer]:
    """As `lock_customers`, but makes no rows: customers without one are left out."""
    return [_customer(row) for row in await session.execute(_LOCK, key_columns(keys))]


async def read_customers(session: Session, keys: Collection[CustomerKey]) -> list[Customer]:
    """The customers' rows, without a lock."""
    return [_customer(row) for row in await session.execute(_READ, key_columns(keys))]


async def save_customers(session: Session, rows: Sequence[Customer]) -> None:
    """Write rows that `lock_customers` gave."""
    if rows:
        await session.execute(_SAVE, {"rows": orjson.dumps([_flat(row) for row in rows]).decode()})


async def customers_due(
    session: Session, stores: Iterable[str], now: datetime, limit: int
) -> list[CustomerKey]:
    """The customers whom time may have changed by `now`, the longest due first, locked. Customers whom
    another transaction has locked are left out."""
    rows = await session.execute(_DUE, {"now": now, "stores": list(stores), "limit": limit})
    return [CustomerKey(store, ref) for store, ref in rows]


async def next_due(session: Session, stores: Iterable[str]) -> datetime | None:
    """When the next customer is due; None: never."""
    rows = await session.execute(_NEXT_DUE, {"stores": list(stores)})
    at: datetime | None = rows.scalar_one()
    return at


async def page_of_customers(
    session: Session, store: str, *, after: str, limit: int, other_than: str | None = None
) -> list[CustomerKey]:
    """The next customers of a store in the order of their refs. `other_than`: a version of the rules; only
    customers that were folded by another one."""
    rows = await session.execute(
        _PAGE, {"store": store, "after": after, "limit": limit, "other_than": other_than}
    )
    return [CustomerKey(store, ref) for (ref,) in rows]


async def find_customer(session: Session, key: CustomerKey) -> Customer | None:
    """One customer, or None: also when a browser claimed the customer and the store never named them."""
    rows = await session.execute(
        text(f"SELECT {_SELECTED} FROM segmenter.customers c WHERE store = :store AND ref = :ref AND known"),
        {"store": key.store, "ref": key.ref},
    )
    row = rows.first()
    return _customer(row) if row else None


async def members_by_tier(session: Session, store: str) -> dict[str, int]:
    """How many customers each tier has; those who were erased stay in it as numbers."""
    rows = await session.execute(
        text("""SELECT tier, count(*) FROM segmenter.customers
                WHERE store = :store AND known AND tier IS NOT NULL GROUP BY tier"""),
        {"store": store},
    )
    return {str(tier): int(count) for tier, count in rows}


def _customer(row: Any) -> Customer:
    values = row._mapping
    return Customer(
        key=CustomerKey(values["store"], values["ref"]),
        contact=Contact(**{name: values[name] for name in _CONTACT}),
        ruling=None
        if values["tier"] is None
        else Ruling(
            **{name: values[name] for name in _RULING if name not in ("tags", "history")},
            tags=tuple(values["tags"]),
            history=HISTORY.validate_json(values["history"]),
        ),
        folded_at=values["folded_at"],
        seq=values["seq"],
        changed_at=values["changed_at"],
        traceparent=values["traceparent"],
    )


def _flat(row: Customer) -> dict[str, Any]:
    ruling = {name: getattr(row.ruling, name, None) for name in _RULING}
    if row.ruling is None:
        ruling |= {"points": 0, "tags": [], "reason": "", "sentence": "", "rule_version": "", "history": []}
    else:
        ruling["history"] = orjson.Fragment(HISTORY.dump_json(row.ruling.history))
    return {
        "store": row.key.store,
        "ref": row.key.ref,
        **{name: getattr(row.contact, name) for name in _CONTACT},
        **ruling,
        "folded_at": row.folded_at,
        "seq": row.seq,
        "changed_at": row.changed_at,
        "traceparent": row.traceparent,
    }


async def hand_over(session: Session, surrogates: Mapping[CustomerKey, str], *, now_ms: int) -> None:
    """Copy each row without its contact to a surrogate, and note that a last event is to be sent of the
    customer."""
    pairs = sorted(surrogates.items())
    arguments = {
        "stores": [key.store for key, _ in pairs],
        "refs": [key.ref for key, _ in pairs],
        "surrogates": [surrogate for _, surrogate in pairs],
        "now": now_ms,
    }
    joined = """unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:surrogates AS text[]))
                AS n(store, ref, surrogate)
                JOIN segmenter.customers c ON c.store = n.store AND c.ref = n.ref"""
    columns = """known, tier, since, points, expires_at, grace_until, held_until, override_until,
                 next_check_at, tags, reason, sentence, rule_version, history, folded_at"""
    await session.execute(
        text(f"""INSERT INTO segmenter.customers (store, ref, erased, {columns})
                 SELECT n.store, n.surrogate, true, c.{", c.".join(columns.replace(",", "").split())}
                 FROM {joined}"""),
        arguments,
    )
    await session.execute(
        text("""INSERT INTO segmenter.forgotten AS f (store, ref, seq, traceparent)
                SELECT c.store, c.ref, greatest(c.seq + 1, :now), c.traceparent
                FROM segmenter.customers c
                JOIN unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS n(store, ref)
                     ON c.store = n.store AND c.ref = n.ref
                WHERE c.seq > 0
                ON CONFLICT (store, ref) DO UPDATE SET seq = greatest(f.seq, excluded.seq)"""),
        {name: arguments[name] for name in ("stores", "refs", "now")},
    )


async def begin_again(
    session: Session, keys: Collection[CustomerKey], alive: Collection[CustomerKey]
) -> None:
    """Delete the rows of these customers; make empty ones for those who are `alive`, as somebody new."""
    arguments = key_columns(keys)
    await session.execute(
        text("""DELETE FROM segmenter.customers c
                USING unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS n(store, ref)
                WHERE c.store = n.store AND c.ref = n.ref"""),
        arguments,
    )
    await session.execute(
        text("""INSERT INTO segmenter.customers (store, ref, seq, published_seq)
                SELECT n.store, n.ref, coalesce(f.seq, 0), coalesce(f.seq, 0)
                FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS n(store, ref)
                LEFT JOIN segmenter.forgotten f ON f.store = n.store AND f.ref = n.ref"""),
        key_columns(alive),
    )
