"""Cases, and which answers they have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, text, update

from services.notifier import tables
from services.notifier.cases.domain.case import Case, Part
from services.notifier.cases.domain.clocks import ClockKind
from services.notifier.cases.domain.rules import Priority
from services.notifier.cases.store.answers import AnswerKey
from services.notifier.cases.store.customers import Ref
from services.notifier.domain.states import Outcome, Status
from shared.db import Session

# Written and read as they are, in this order; `_read` knows the enums and sets among them.
STORED = (
    "case_id", "store", "customer_ref", "response_id", "status", "priority", "rule", "config_version",
    "verified", "tier", "owner", "opened_at", "first_contact_due_at", "first_contact_at", "resolve_due_at",
    "resolve_hours", "resolved_at", "closed_at", "snoozed_at", "snoozed_until", "before_snooze",
    "root_cause", "outcome", "dismissed_because", "reopened", "version", "team", "clock",
    "first_contact_hours", "clock_from", "resolve_from", "first_contact_seconds", "resolve_seconds",
    "last_group", "score", "metric", "wants_contact", "auto_assigned", "escalated", "next_step_at",
    "told_at",
)  # fmt: skip

# PostgreSQL refuses a tsvector over 1 MiB; a customer who answers for ever must not stop the consumer.
_MOST_WORDS_BYTES = 100_000

COLUMNS = f"""{", ".join(f"c.{name}" for name in STORED)}, c.number, c.changed_at,
    ARRAY(SELECT a.response_id FROM notifier.case_answers a
          WHERE a.case_id = c.case_id AND NOT a.retracted) AS standing,
    ARRAY(SELECT s.step FROM notifier.case_steps s WHERE s.case_id = c.case_id) AS steps"""
"""Of `notifier.cases c`, as `case_of` reads them."""


@dataclass(frozen=True, slots=True)
class Link:
    """An answer belongs to a case."""

    case_id: str
    part: Part


async def links(session: Session, keys: Iterable[AnswerKey]) -> dict[AnswerKey, Link]:
    """The cases of these answers."""
    wanted = list(keys)
    if not wanted:
        return {}
    rows = await session.execute(
        text("""SELECT store, response_id, case_id, part FROM notifier.case_answers
                WHERE (store, response_id) IN
                      (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[])))"""),
        {"stores": [store for store, _ in wanted], "ids": [response for _, response in wanted]},
    )
    return {(r.store, r.response_id): Link(r.case_id, Part(r.part)) for r in rows}


async def lock(session: Session, refs: Iterable[Ref], case_ids: Iterable[str]) -> list[Case]:
    """All cases of these customers and these cases, locked in sorted order. The customers must be locked."""
    wanted = list(refs)
    rows = await session.execute(
        text(f"""SELECT {COLUMNS} FROM notifier.cases c
                 WHERE c.case_id IN (
                     SELECT unnest(CAST(:case_ids AS text[]))
                     UNION SELECT o.case_id FROM notifier.cases o
                     JOIN unnest(CAST(:stores AS text[]), CAST(:refs AS text[])) AS w(store, ref)
                          ON o.store = w.store AND o.customer_ref = w.ref)
                 ORDER BY c.case_id FOR UPDATE OF c"""),
        {
            "case_ids": list(case_ids),
            "stores": [store for store, _ in wanted],
            "refs": [ref for _, ref in wanted],
        },
    )
    return [case_of(row) for row in rows]


async def customer_of(session: Session, store: str, case_id: str) -> str | None:
    """Whose case it is; None when the store has no such case."""
    found = await session.execute(
        text("SELECT customer_ref FROM notifier.cases WHERE store = :store AND case_id = :case_id"),
        {"store": store, "case_id": case_id},
    )
    return found.scalar_one_or_none()


async def read(session: Session, store: str, case_id: str, *, for_update: bool = False) -> Case | None:
    rows = await session.execute(
        text(
            f"SELECT {COLUMNS} FROM notifier.cases c WHERE c.store = :store AND c.case_id = :case_id"
            + (" FOR UPDATE OF c" if for_update else "")
        ),
        {"store": store, "case_id": case_id},
    )
    row = rows.first()
    return case_of(row) if row else None


async def by_ids(session: Session, case_ids: Iterable[str]) -> dict[str, Case]:
    rows = await session.execute(
        text(f"SELECT {COLUMNS} FROM notifier.cases c WHERE c.case_id = ANY(CAST(:case_ids AS text[]))"),
        {"case_ids": sorted(set(case_ids))},
    )
    return {row.case_id: case_of(row) for row in rows}


async def of_customer(session: Session, ref: Ref, *, but: str, most: int = 10) -> list[Case]:
    """The customer's cases without this one, the newest first."""
    rows = await session.execute(
        text(f"""SELECT {COLUMNS} FROM notifier.cases c
                 WHERE c.store = :store AND c.customer_ref = :ref AND c.case_id <> :but
                 ORDER BY c.opened_at DESC LIMIT :most"""),
        {"store": ref[0], "ref": ref[1], "but": but, "most": most},
    )
    return [case_of(row) for row in rows]


async def save(session: Session, cases: Sequence[Case]) -> None:
    """Write cases back that this transaction has locked."""
    if not cases:
        return
    changing = [name for name in STORED if name != "case_id"]
    statement = (
        update(tables.cases)
        .where(tables.cases.c.case_id == bindparam("key_case_id"))
        .values(
            {name: bindparam(f"new_{name}") for name in changing} | {"changed_at": func.clock_timestamp()}
        )
    )
    rows = [row_of(case) for case in cases]
    await session.execute(
        statement,
        [{"key_case_id": row["case_id"]} | {f"new_{name}": row[name] for name in changing} for row in rows],
    )


async def add_words(session: Session, words: Mapping[str, str]) -> None:
    """By case, more text by which it can be found."""
    if words:
        await session.execute(
            text("""UPDATE notifier.cases c SET words = c.words || to_tsvector('simple', n.words)
                    FROM unnest(CAST(:ids AS text[]), CAST(:words AS text[])) AS n(id, words)
                    WHERE c.case_id = n.id AND pg_column_size(c.words) < :most"""),
            {
                "most": _MOST_WORDS_BYTES,
                "ids": sorted(words),
                "words": [words[case_id] for case_id in sorted(words)],
            },
        )


async def mark_retracted(session: Session, keys: Sequence[AnswerKey]) -> None:
    if not keys:
        return
    await session.execute(
        text("""UPDATE notifier.case_answers SET retracted = true WHERE (store, response_id) IN
                (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[])))"""),
        {"stores": [store for store, _ in keys], "ids": [response for _, response in keys]},
    )


async def parts(session: Session, case_ids: Iterable[str]) -> dict[str, list[tuple[str, Part]]]:
    """The answers of these cases, the one that opened it first."""
    rows = await session.execute(
        text("""SELECT case_id, response_id, part FROM notifier.case_answers
                WHERE case_id = ANY(CAST(:case_ids AS text[])) ORDER BY case_id, added_at, response_id"""),
        {"case_ids": list(case_ids)},
    )
    found: dict[str, list[tuple[str, Part]]] = {}
    for row in rows:
        found.setdefault(row.case_id, []).append((row.response_id, Part(row.part)))
    return found


def case_of(row: Any) -> Case:
    """The case of a row that has `COLUMNS`."""
    stored = {name: getattr(row, name) for name in (*STORED, "number", "changed_at")}
    return Case(
        **stored
        | {
            "status": Status(row.status),
            "priority": Priority(row.priority),
            "clock": ClockKind(row.clock),
            "before_snooze": Status(row.before_snooze) if row.before_snooze else None,
            "outcome": Outcome(row.outcome) if row.outcome else None,
            "standing": frozenset(row.standing),
            "steps": frozenset(row.steps),
        }
    )


def row_of(case: Case) -> dict[str, Any]:
    """The case by the names in `STORED`."""
    row = {name: getattr(case, name) for name in STORED}
    enums = ("status", "priority", "clock", "before_snooze", "outcome")
    return row | {name: row[name].value for name in enums if row[name] is not None}
