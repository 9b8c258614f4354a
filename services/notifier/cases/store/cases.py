"""The rows of cases: reading, locking and saving them, turns in teams, and escalation plans."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from services.notifier.cases.domain.case import ENDED, Case, Outcome, Part, Priority, Status
from services.notifier.cases.domain.clocks import ClockKind
from services.notifier.cases.store.answers import AnswerKey
from services.notifier.cases.store.customers import Ref
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


def status_outside(statuses: Iterable[Status]) -> str:
    """A condition on `notifier.cases c`, in the form that the partial indexes have."""
    return "c.status NOT IN ({})".format(", ".join(f"'{name}'" for name in sorted(statuses)))


IS_LIVE = status_outside(ENDED)
"""Whether `notifier.cases c` is live: read from the indexes of live cases."""


@dataclass(frozen=True, slots=True)
class Link:
    """An answer belongs to a case."""

    case_id: str
    part: Part


async def links(session: Session, keys: Iterable[AnswerKey]) -> dict[AnswerKey, Link]:
    """The cases of these answers."""
    answer_keys = list(keys)
    if not answer_keys:
        return {}
    rows = await session.execute(
        text("""SELECT store, response_id, case_id, part FROM notifier.case_answers
                WHERE (store, response_id) IN
                      (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[])))"""),
        {"stores": [store for store, _ in answer_keys], "ids": [response for _, response in answer_keys]},
    )
    return {(r.store, r.response_id): Link(r.case_id, Part(r.part)) for r in rows}


async def lock(session: Session, refs: Iterable[Ref], case_ids: Iterable[str]) -> list[Case]:
    """All cases of these customers and these cases, locked in sorted order. The customers must be locked."""
    customers = list(refs)
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
            "stores": [store for store, _ in customers],
            "refs": [ref for _, ref in customers],
        },
    )
    return [case_of(row) for row in rows]


async def customer_of(session: Session, store: str, case_id: str) -> str | None:
    """Whose case it is; None when the store has no such case."""
    rows = await session.execute(
        text("SELECT customer_ref FROM notifier.cases WHERE store = :store AND case_id = :case_id"),
        {"store": store, "case_id": case_id},
    )
    return rows.scalar_one_or_none()


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
    if cases:
        await session.execute(_SAVE, [row_of(case) for case in cases])


_SAVE = text(f"""
    UPDATE notifier.cases
    SET {", ".join(f"{name} = :{name}" for name in STORED if name != "case_id")},
        changed_at = clock_timestamp()
    WHERE case_id = :case_id""")


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


async def unlink(session: Session, keys: Sequence[AnswerKey]) -> None:
    """Take these answers out of their cases, so that they can belong to others."""
    if not keys:
        return
    await session.execute(
        text("""DELETE FROM notifier.case_answers WHERE (store, response_id) IN
                (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[])))"""),
        {"stores": [store for store, _ in keys], "ids": [response for _, response in keys]},
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
    parts_of: dict[str, list[tuple[str, Part]]] = {}
    for row in rows:
        parts_of.setdefault(row.case_id, []).append((row.response_id, Part(row.part)))
    return parts_of


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


# Whose turn it is in the teams, and how much each has in work.

TeamKey = tuple[str, str]
"""(store, team)"""

MOST_COUNTED = 1000
"""Owners with more cases than this count as equally busy."""


async def take(session: Session, turns: Mapping[TeamKey, int]) -> dict[TeamKey, int]:
    """So many turns of each team; returns how many were taken before.

    The rows stay locked until the transaction ends, in sorted order, so nobody takes the same turn. Last
    of all locks: after customer, answer and case.
    """
    keys = sorted(turns)
    if not keys:
        return {}
    rows = await session.execute(
        text("""INSERT INTO notifier.turns AS t (store, team, taken)
                SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:teams AS text[]),
                                     CAST(:counts AS bigint[])) ORDER BY 1, 2
                ON CONFLICT (store, team) DO UPDATE SET taken = t.taken + excluded.taken
                RETURNING store, team, taken"""),
        {
            "stores": [store for store, _ in keys],
            "teams": [team for _, team in keys],
            "counts": [turns[key] for key in keys],
        },
    )
    return {(row.store, row.team): row.taken - turns[row.store, row.team] for row in rows}


async def load(session: Session, owners: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """How many cases each (store, owner) has in work, counted up to MOST_COUNTED."""
    owner_keys = sorted(set(owners))
    if not owner_keys:
        return {}
    rows = await session.execute(
        text(f"""SELECT w.store, w.owner, one.cases
                FROM unnest(CAST(:stores AS text[]), CAST(:owners AS text[])) AS w(store, owner)
                CROSS JOIN LATERAL (
                    SELECT count(*) AS cases FROM (
                        SELECT 1 FROM notifier.cases c
                        WHERE c.store = w.store AND c.owner = w.owner
                              AND {IS_LIVE} AND c.status <> 'resolved'
                        LIMIT :most) counted) one"""),
        {
            "stores": [store for store, _ in owner_keys],
            "owners": [owner for _, owner in owner_keys],
            "most": MOST_COUNTED,
        },
    )
    return {(row.store, row.owner): row.cases for row in rows}


# Cases that something becomes due for without anybody doing anything.


async def snoozed_out(session: Session, limit: int) -> list[Case]:
    """Cases whose snooze is over by the database's clock, locked.

    Cases that another transaction has locked are left out.
    """
    rows = await session.execute(
        text(f"""SELECT {COLUMNS} FROM notifier.cases c
                 WHERE c.status = 'snoozed' AND c.snoozed_until <= now()
                 ORDER BY c.case_id LIMIT :limit FOR UPDATE OF c SKIP LOCKED"""),
        {"limit": limit},
    )
    return [case_of(row) for row in rows]


async def steps_due(session: Session, limit: int) -> list[Case]:
    """Cases whose next escalation step is due by the database's clock, locked.

    Cases that another transaction has locked are left out.
    """
    rows = await session.execute(
        text(f"""SELECT {COLUMNS} FROM notifier.cases c WHERE c.case_id IN (
                     SELECT d.case_id FROM notifier.cases d WHERE d.next_step_at <= now()
                     ORDER BY d.next_step_at LIMIT :limit FOR UPDATE SKIP LOCKED)"""),
        {"limit": limit},
    )
    return [case_of(row) for row in rows]


async def to_plan(session: Session, store: str, escalation: str, limit: int) -> list[Case] | None:
    """Live cases of the store that are still planned by other escalation steps, locked.

    `escalation` names the steps of now. None: all are planned by them, or another transaction plans them now.
    """
    await session.execute(
        text("INSERT INTO notifier.plans (store) VALUES (:store) ON CONFLICT DO NOTHING"), {"store": store}
    )
    rows = await session.execute(
        text("""SELECT escalation, wanted, after_case FROM notifier.plans WHERE store = :store
                FOR UPDATE SKIP LOCKED"""),
        {"store": store},
    )
    plan = rows.first()
    if plan is None or plan.escalation == escalation:
        return None
    after = plan.after_case if plan.wanted == escalation else ""
    rows = await session.execute(
        text(f"""SELECT {COLUMNS} FROM notifier.cases c
                 WHERE c.store = :store AND c.case_id > :after AND {IS_LIVE}
                 ORDER BY c.case_id LIMIT :limit FOR UPDATE OF c"""),
        {"store": store, "after": after, "limit": limit},
    )
    cases = [case_of(row) for row in rows]
    await session.execute(
        text("""UPDATE notifier.plans SET wanted = :wanted, after_case = :after,
                       escalation = CASE WHEN :done THEN :wanted ELSE escalation END
                WHERE store = :store"""),
        {
            "store": store,
            "wanted": escalation,
            "after": cases[-1].case_id if cases else "",
            "done": len(cases) < limit,
        },
    )
    return cases


async def plan(session: Session, planned: Sequence[tuple[str, datetime | None]]) -> None:
    """When to look at these cases again; no change that anybody sees."""
    if planned:
        await session.execute(
            text("""UPDATE notifier.cases c SET next_step_at = n.at
                    FROM unnest(CAST(:ids AS text[]), CAST(:ats AS timestamptz[])) AS n(id, at)
                    WHERE c.case_id = n.id"""),
            {"ids": [case_id for case_id, _ in planned], "ats": [at for _, at in planned]},
        )
