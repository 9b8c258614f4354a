"""The stored facts: one row for each answer, order, engagement, case and override, with its record as
JSON."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from pydantic import TypeAdapter
from sqlalchemy import text

from services.segmenter.facts.domain.records import (
    AnswerRecord,
    CaseRecord,
    EngagementRecord,
    Kind,
    OrderRecord,
    OverrideRecord,
    Record,
)
from shared.db import Session


class FactKey(NamedTuple):
    """Sorts as PostgreSQL locks: every writer of several facts takes them in this order."""

    store: str
    kind: Kind
    id: str


class CustomerKey(NamedTuple):
    """Sorts as PostgreSQL locks."""

    store: str
    ref: str


MOST_FACTS = 10_000
"""Facts that one customer is folded from. More than any person has: a shop that sends every guest under one
id must not slow everybody down. Orders come before answers, and which ones count depends on no timing."""

AS_JSON: Mapping[Kind, TypeAdapter[Any]] = {
    Kind.ANSWER: TypeAdapter(AnswerRecord),
    Kind.ORDER: TypeAdapter(OrderRecord),
    Kind.ENGAGEMENT: TypeAdapter(EngagementRecord),
    Kind.CASE: TypeAdapter(CaseRecord),
    Kind.OVERRIDE: TypeAdapter(OverrideRecord),
}

_LOCK = text("""
    SELECT f.store, f.kind, f.id, CAST(f.body AS text)
    FROM segmenter.facts f
    JOIN unnest(CAST(:stores AS text[]), CAST(:kinds AS text[]), CAST(:ids AS text[])) AS k(store, kind, id)
      ON f.store = k.store AND f.kind = k.kind AND f.id = k.id
    ORDER BY f.store, f.kind, f.id FOR UPDATE OF f""")

_ROWS = """json_to_recordset(CAST(:rows AS json))
    AS r(store text, kind text, id text, ref text, body jsonb, received_at timestamptz)"""

_INSERT = text(f"""
    INSERT INTO segmenter.facts (store, kind, id, ref, body, received_at)
    SELECT store, kind, id, ref, body, received_at FROM {_ROWS} ORDER BY store, kind, id""")

_UPDATE = text(f"""
    UPDATE segmenter.facts f SET ref = r.ref, body = r.body,
        received_at = coalesce(r.received_at, f.received_at)
    FROM {_ROWS} WHERE f.store = r.store AND f.kind = r.kind AND f.id = r.id""")

_OF_CUSTOMERS = text("""
    SELECT f.store, f.ref, f.kind, f.id, CAST(f.body AS text)
    FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS k(store, ref)
    CROSS JOIN LATERAL (
        SELECT * FROM segmenter.facts WHERE store = k.store AND ref = k.ref
        ORDER BY kind DESC, id DESC LIMIT :most) AS f""")


async def lock_facts(session: Session, keys: Iterable[FactKey]) -> dict[FactKey, Record]:
    """The stored records of these keys, locked until the transaction ends; a key without a record is left
    out."""
    unique = sorted(set(keys))
    rows = await session.execute(
        _LOCK,
        {
            "stores": [key.store for key in unique],
            "kinds": [key.kind.value for key in unique],
            "ids": [key.id for key in unique],
        },
    )
    return {
        FactKey(store, Kind(kind), name): AS_JSON[Kind(kind)].validate_json(body)
        for store, kind, name, body in rows
    }


async def save_facts(
    session: Session,
    *,
    new: Mapping[FactKey, Record],
    known: Mapping[FactKey, Record],
    received: Mapping[FactKey, datetime] | None = None,
) -> None:
    """Store records: `new` ones, and `known` ones, which `lock_facts` gave. `received`: when the event came
    that named the customer.

    Raises a UniqueViolation when somebody stored a new one at the same time: look again, and merge.
    """
    if new:
        await session.execute(_INSERT, {"rows": _rows_of(new, received or {})})
    if known:
        await session.execute(_UPDATE, {"rows": _rows_of(known, received or {})})


async def facts_of_customers(
    session: Session, customers: Iterable[CustomerKey]
) -> dict[CustomerKey, dict[tuple[Kind, str], Record]]:
    """The records of each customer, by kind and id; no more than MOST_FACTS of one."""
    unique = sorted(set(customers))
    records: dict[CustomerKey, dict[tuple[Kind, str], Record]] = {key: {} for key in unique}
    rows = await session.execute(
        _OF_CUSTOMERS,
        {**key_columns(unique), "most": MOST_FACTS},
    )
    for store, ref, kind_name, name, body in rows:
        kind = Kind(kind_name)
        records[CustomerKey(store, ref)][kind, name] = AS_JSON[kind].validate_json(body)
    return records


def _rows_of(records: Mapping[FactKey, Record], received: Mapping[FactKey, datetime]) -> str:
    return _as_json([_row(key, record.ref, record, received.get(key)) for key, record in records.items()])


def _row(key: FactKey, ref: str | None, record: Record, received_at: datetime | None) -> dict[str, Any]:
    return {
        "store": key.store,
        "kind": key.kind,
        "id": key.id,
        "ref": ref,
        "body": orjson.Fragment(AS_JSON[key.kind].dump_json(record)),
        "received_at": received_at,
    }


def _as_json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


@dataclass(frozen=True, slots=True)
class Owned:
    """A fact with the reference of its customer, for erasing."""

    key: FactKey
    ref: str
    record: Record
    received_at: datetime | None


_ERASED = """unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:at AS timestamptz[]))
    AS k(store, ref, erased_at)"""
_KEYS = "unnest(CAST(:stores AS text[]), CAST(:kinds AS text[]), CAST(:ids AS text[])) AS k(store, kind, id)"


async def facts_until(session: Session, erased: Mapping[CustomerKey, datetime]) -> list[Owned]:
    """All facts of these customers that were received until their erasure, locked in sorted order.

    The caller holds the lock around erasing.
    """
    rows = await session.execute(
        text(f"""SELECT f.store, f.kind, f.id, f.ref, CAST(f.body AS text), f.received_at
                 FROM segmenter.facts f JOIN {_ERASED} ON f.store = k.store AND f.ref = k.ref
                 WHERE f.received_at IS NULL OR f.received_at <= k.erased_at
                 ORDER BY f.store, f.kind, f.id FOR UPDATE OF f"""),
        _moments(erased),
    )
    return [
        Owned(FactKey(store, Kind(kind), name), ref, AS_JSON[Kind(kind)].validate_json(body), at)
        for store, kind, name, ref, body, at in rows
    ]


async def replace_facts(session: Session, old: Iterable[FactKey], new: Sequence[Owned]) -> None:
    """Delete the `old` facts, and store the `new` ones."""
    await remove_facts(session, old)
    rows = [_row(fact.key, fact.ref, fact.record, fact.received_at) for fact in new]
    if rows:
        await session.execute(_INSERT, {"rows": _as_json(rows)})


async def remove_facts(session: Session, keys: Iterable[FactKey]) -> None:
    """Delete these facts."""
    unique = sorted(set(keys))
    if unique:
        await session.execute(
            text(f"""DELETE FROM segmenter.facts f USING {_KEYS}
                     WHERE f.store = k.store AND f.kind = k.kind AND f.id = k.id"""),
            {
                "stores": [key.store for key in unique],
                "kinds": [key.kind.value for key in unique],
                "ids": [key.id for key in unique],
            },
        )


async def customers_with_facts(session: Session, keys: Collection[CustomerKey]) -> set[CustomerKey]:
    """Which of these customers have facts."""
    rows = await session.execute(
        text("""SELECT DISTINCT f.store, f.ref FROM segmenter.facts f
                JOIN unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS n(store, ref)
                     ON f.store = n.store AND f.ref = n.ref"""),
        key_columns(keys),
    )
    return {CustomerKey(store, ref) for store, ref in rows}


def key_columns(keys: Iterable[CustomerKey]) -> dict[str, list[str]]:
    """The parameters `stores` and `refs` of a query about these customers, in the order of locking."""
    unique = sorted(set(keys))
    return {"stores": [key.store for key in unique], "refs": [key.ref for key in unique]}


def _moments(erased: Mapping[CustomerKey, datetime]) -> dict[str, list[str] | list[datetime]]:
    keys = sorted(erased)
    return {**key_columns(keys), "at": [erased[key] for key in keys]}
