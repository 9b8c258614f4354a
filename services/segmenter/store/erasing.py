"""What is stored of people who are to be forgotten. The lock around erasing is held."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import text

from services.segmenter.domain.records import Kind, Record
from services.segmenter.store.facts import AS_JSON, CustomerKey, FactKey
from shared.db import Session


@dataclass(frozen=True, slots=True)
class Owned:
    """A fact and whose it is."""

    key: FactKey
    ref: str
    record: Record
    received_at: datetime | None


_GIVEN = """unnest(CAST(:stores AS text[]), CAST(:refs AS text[]), CAST(:at AS timestamptz[]))
    AS k(store, ref, erased_at)"""
_KEYS = "unnest(CAST(:stores AS text[]), CAST(:kinds AS text[]), CAST(:ids AS text[])) AS k(store, kind, id)"


async def facts_until(session: Session, erased: Mapping[CustomerKey, datetime]) -> list[Owned]:
    """All facts of these customers that were received until then, locked in sorted order."""
    rows = await session.execute(
        text(f"""SELECT f.store, f.kind, f.id, f.ref, CAST(f.body AS text), f.received_at
                 FROM segmenter.facts f JOIN {_GIVEN} ON f.store = k.store AND f.ref = k.ref
                 WHERE f.received_at IS NULL OR f.received_at <= k.erased_at
                 ORDER BY f.store, f.kind, f.id FOR UPDATE OF f"""),
        _moments(erased),
    )
    return [
        Owned(FactKey(store, Kind(kind), name), ref, AS_JSON[Kind(kind)].validate_json(body), at)
        for store, kind, name, ref, body, at in rows
    ]


async def replace_facts(session: Session, old: Iterable[FactKey], new: Sequence[Owned]) -> None:
    """Take these facts away, and store those in their place."""
    await remove_facts(session, old)
    rows = [
        {
            "store": one.key.store,
            "kind": one.key.kind,
            "id": one.key.id,
            "ref": one.ref,
            "body": orjson.Fragment(AS_JSON[one.key.kind].dump_json(one.record)),
            "received_at": one.received_at,
        }
        for one in new
    ]
    if rows:
        await session.execute(
            text("""INSERT INTO segmenter.facts (store, kind, id, ref, body, received_at)
                    SELECT store, kind, id, ref, body, received_at
                    FROM json_to_recordset(CAST(:rows AS json)) AS r(
                         store text, kind text, id text, ref text, body jsonb, received_at timestamptz)
                    ORDER BY store, kind, id"""),
            {"rows": orjson.dumps(rows).decode()},
        )


async def remove_facts(session: Session, keys: Iterable[FactKey]) -> None:
    """Also facts that wait for somebody who was erased before they were known."""
    gone = sorted(set(keys))
    if gone:
        await session.execute(
            text(f"""DELETE FROM segmenter.facts f USING {_KEYS}
                     WHERE f.store = k.store AND f.kind = k.kind AND f.id = k.id"""),
            {
                "stores": [key.store for key in gone],
                "kinds": [key.kind.value for key in gone],
                "ids": [key.id for key in gone],
            },
        )


async def hand_over(session: Session, surrogates: Mapping[CustomerKey, str], *, now_ms: int) -> None:
    """Copy each customer's row to a surrogate without a name, and note the end of what others were told."""
    pairs = sorted(surrogates.items())
    given = {
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
        given,
    )
    await session.execute(
        text("""INSERT INTO segmenter.forgotten AS f (store, ref, seq, traceparent)
                SELECT c.store, c.ref, greatest(c.seq + 1, :now), c.traceparent
                FROM segmenter.customers c
                JOIN unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS n(store, ref)
                     ON c.store = n.store AND c.ref = n.ref
                WHERE c.seq > 0
                ON CONFLICT (store, ref) DO UPDATE SET seq = greatest(f.seq, excluded.seq)"""),
        {name: given[name] for name in ("stores", "refs", "now")},
    )


async def begin_again(
    session: Session, keys: Collection[CustomerKey], alive: Collection[CustomerKey]
) -> None:
    """Delete the rows of these customers; those `alive` get one that knows of nothing yet."""
    given = _named(keys)
    await session.execute(
        text("""DELETE FROM segmenter.customers c
                USING unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS n(store, ref)
                WHERE c.store = n.store AND c.ref = n.ref"""),
        given,
    )
    await session.execute(
        text("""INSERT INTO segmenter.customers (store, ref, seq, published_seq)
                SELECT n.store, n.ref, coalesce(f.seq, 0), coalesce(f.seq, 0)
                FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS n(store, ref)
                LEFT JOIN segmenter.forgotten f ON f.store = n.store AND f.ref = n.ref"""),
        _named(alive),
    )


async def still_named(session: Session, keys: Collection[CustomerKey]) -> set[CustomerKey]:
    """Which of these customers have facts."""
    rows = await session.execute(
        text("""SELECT DISTINCT f.store, f.ref FROM segmenter.facts f
                JOIN unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS n(store, ref)
                     ON f.store = n.store AND f.ref = n.ref"""),
        _named(keys),
    )
    return {CustomerKey(store, ref) for store, ref in rows}


def _named(keys: Iterable[CustomerKey]) -> dict[str, list[str]]:
    wanted = sorted(set(keys))
    return {"stores": [key.store for key in wanted], "refs": [key.ref for key in wanted]}


def _moments(erased: Mapping[CustomerKey, datetime]) -> dict[str, list[str] | list[datetime]]:
    keys = sorted(erased)
    return {**_named(keys), "at": [erased[key] for key in keys]}
