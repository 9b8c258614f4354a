"""Cases, which answers they have, and what happened to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import bindparam, insert, text, update

from services.notifier import tables
from services.notifier.domain import Case, Entry, Outcome, Part, Priority, Status
from services.notifier.store.answers import AnswerKey
from services.notifier.store.customers import Ref
from shared.db import Session

_COLUMNS = """c.case_id, c.store, c.customer_ref, c.response_id, c.status, c.priority, c.rule,
    c.config_version, c.verified, c.tier, c.owner, c.opened_at, c.first_contact_due_at, c.first_contact_at,
    c.resolve_due_at, c.resolve_hours, c.resolved_at, c.closed_at, c.snoozed_at, c.snoozed_until,
    c.before_snooze, c.root_cause, c.outcome, c.dismissed_because, c.reopened, c.version,
    ARRAY(SELECT a.response_id FROM notifier.case_answers a
          WHERE a.case_id = c.case_id AND NOT a.retracted) AS standing"""


@dataclass(frozen=True, slots=True)
class Link:
    """An answer belongs to a case."""

    case_id: str
    part: Part


@dataclass(frozen=True, slots=True)
class HistoryRow:
    case_id: str
    at: datetime
    who: str
    entry: Entry


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
        text(f"""SELECT {_COLUMNS} FROM notifier.cases c
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
    return [_case(row) for row in rows]


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
            f"SELECT {_COLUMNS} FROM notifier.cases c WHERE c.store = :store AND c.case_id = :case_id"
            + (" FOR UPDATE OF c" if for_update else "")
        ),
        {"store": store, "case_id": case_id},
    )
    row = rows.first()
    return _case(row) if row else None


async def by_ids(session: Session, case_ids: Iterable[str]) -> dict[str, Case]:
    rows = await session.execute(
        text(f"SELECT {_COLUMNS} FROM notifier.cases c WHERE c.case_id = ANY(CAST(:case_ids AS text[]))"),
        {"case_ids": sorted(set(case_ids))},
    )
    return {row.case_id: _case(row) for row in rows}


async def snoozed_out(session: Session, limit: int) -> list[Case]:
    """Cases whose snooze is over by the database's clock, locked; those that somebody holds are skipped."""
    rows = await session.execute(
        text(f"""SELECT {_COLUMNS} FROM notifier.cases c
                 WHERE c.status = 'snoozed' AND c.snoozed_until <= now()
                 ORDER BY c.case_id LIMIT :limit FOR UPDATE OF c SKIP LOCKED"""),
        {"limit": limit},
    )
    return [_case(row) for row in rows]


async def insert_new(session: Session, cases: Sequence[Case]) -> None:
    if cases:
        await session.execute(insert(tables.cases), [_row(case) for case in cases])


async def save(session: Session, cases: Sequence[Case]) -> None:
    """Write cases back that this transaction has locked."""
    if not cases:
        return
    columns = _row(cases[0]).keys() - {"case_id"}
    statement = (
        update(tables.cases)
        .where(tables.cases.c.case_id == bindparam("key_case_id"))
        .values({name: bindparam(f"new_{name}") for name in columns})
    )
    rows = [{"key_case_id": case.case_id} | {f"new_{k}": v for k, v in _row(case).items()} for case in cases]
    await session.execute(statement, [{k: v for k, v in row.items() if k != "new_case_id"} for row in rows])


async def add_answers(session: Session, added: Sequence[tuple[AnswerKey, Link, datetime]]) -> None:
    """Raises IntegrityError when an answer has a case already."""
    if not added:
        return
    await session.execute(
        insert(tables.case_answers),
        [
            {
                "store": store,
                "response_id": response_id,
                "case_id": link.case_id,
                "part": link.part,
                "added_at": at,
            }
            for (store, response_id), link, at in sorted(added, key=lambda item: item[0])
        ],
    )


async def mark_retracted(session: Session, keys: Sequence[AnswerKey]) -> None:
    if not keys:
        return
    await session.execute(
        text("""UPDATE notifier.case_answers SET retracted = true WHERE (store, response_id) IN
                (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:ids AS text[])))"""),
        {"stores": [store for store, _ in keys], "ids": [response for _, response in keys]},
    )


async def add_history(session: Session, rows: Sequence[HistoryRow]) -> None:
    if not rows:
        return
    await session.execute(
        insert(tables.history),
        [
            {
                "case_id": row.case_id,
                "at": row.at,
                "who": row.who,
                "what": row.entry.what,
                "detail": dict(row.entry.detail),
            }
            for row in rows
        ],
    )


async def history(session: Session, case_id: str) -> list[HistoryRow]:
    rows = await session.execute(
        text("""SELECT at, who, what, CAST(detail AS text) AS detail FROM notifier.history
                WHERE case_id = :case_id ORDER BY id"""),
        {"case_id": case_id},
    )
    return [HistoryRow(case_id, r.at, r.who, Entry(r.what, orjson.loads(r.detail))) for r in rows]


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


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list of cases is narrowed to; None is no condition. `owner` of "" means nobody's."""

    statuses: tuple[Status, ...] = ()
    owner: str | None = None
    priority: Priority | None = None
    overdue: bool | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: the clock as text, and the case."""

    due: str
    case_id: str


async def page(
    session: Session, store: str, wanted: Filter, *, after: Place | None, limit: int
) -> list[tuple[Case, Place]]:
    """Cases by the clock that runs out first; those without a clock come last."""
    conditions: list[str] = ["c.store = :store"]
    given: dict[str, Any] = {"store": store, "limit": limit}
    if wanted.statuses:
        conditions.append("c.status = ANY(CAST(:statuses AS text[]))")
        given["statuses"] = [status.value for status in wanted.statuses]
    if wanted.owner is not None:
        conditions.append("c.owner = :owner" if wanted.owner else "c.owner IS NULL")
        given |= {"owner": wanted.owner} if wanted.owner else {}
    if wanted.priority is not None:
        conditions.append("c.priority = :priority")
        given["priority"] = wanted.priority.value
    if wanted.overdue is not None:
        conditions.append("c.due_at < now()" if wanted.overdue else "c.due_at >= now()")
    if after is not None:
        conditions.append("(c.due_at, c.case_id) > (CAST(CAST(:due AS text) AS timestamptz), :case_id)")
        given |= {"due": after.due, "case_id": after.case_id}
    rows = await session.execute(
        text(f"""SELECT {_COLUMNS}, CAST(c.due_at AS text) AS due FROM notifier.cases c
                 WHERE {" AND ".join(conditions)} ORDER BY c.due_at, c.case_id LIMIT :limit"""),
        given,
    )
    return [(_case(row), Place(row.due, row.case_id)) for row in rows]


def _case(row: Any) -> Case:
    return Case(
        case_id=row.case_id,
        store=row.store,
        customer_ref=row.customer_ref,
        response_id=row.response_id,
        status=Status(row.status),
        priority=Priority(row.priority),
        rule=row.rule,
        config_version=row.config_version,
        verified=row.verified,
        tier=row.tier,
        owner=row.owner,
        opened_at=row.opened_at,
        first_contact_due_at=row.first_contact_due_at,
        first_contact_at=row.first_contact_at,
        resolve_due_at=row.resolve_due_at,
        resolve_hours=row.resolve_hours,
        resolved_at=row.resolved_at,
        closed_at=row.closed_at,
        snoozed_at=row.snoozed_at,
        snoozed_until=row.snoozed_until,
        before_snooze=Status(row.before_snooze) if row.before_snooze else None,
        root_cause=row.root_cause,
        outcome=Outcome(row.outcome) if row.outcome else None,
        dismissed_because=row.dismissed_because,
        reopened=row.reopened,
        version=row.version,
        standing=frozenset(row.standing),
    )


def _row(case: Case) -> Mapping[str, Any]:
    return {
        "case_id": case.case_id,
        "store": case.store,
        "customer_ref": case.customer_ref,
        "response_id": case.response_id,
        "status": case.status.value,
        "priority": case.priority.value,
        "rule": case.rule,
        "config_version": case.config_version,
        "verified": case.verified,
        "tier": case.tier,
        "owner": case.owner,
        "opened_at": case.opened_at,
        "first_contact_due_at": case.first_contact_due_at,
        "first_contact_at": case.first_contact_at,
        "resolve_due_at": case.resolve_due_at,
        "resolve_hours": case.resolve_hours,
        "resolved_at": case.resolved_at,
        "closed_at": case.closed_at,
        "snoozed_at": case.snoozed_at,
        "snoozed_until": case.snoozed_until,
        "before_snooze": case.before_snooze.value if case.before_snooze else None,
        "root_cause": case.root_cause,
        "outcome": case.outcome.value if case.outcome else None,
        "dismissed_because": case.dismissed_because,
        "reopened": case.reopened,
        "version": case.version,
    }
