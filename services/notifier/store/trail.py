"""What happened to cases and who watches them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import insert, text

from services.notifier import tables
from services.notifier.cases.domain.case import Entry
from shared.db import Session


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """`version`: the case's after this; None of entries that did not change it."""

    case_id: str
    at: datetime
    who: str
    entry: Entry
    version: int | None = None


async def history(session: Session, case_id: str, *, after_version: int = -1) -> list[HistoryRow]:
    """The oldest first; `after_version`: only what made a later version than that."""
    rows = await session.execute(
        text("""SELECT at, who, what, CAST(detail AS text) AS detail, version FROM notifier.history
                WHERE case_id = :case_id AND (:after < 0 OR version > :after) ORDER BY id"""),
        {"case_id": case_id, "after": after_version},
    )
    return [HistoryRow(case_id, r.at, r.who, Entry(r.what, orjson.loads(r.detail)), r.version) for r in rows]


async def watchers(session: Session, case_ids: Iterable[str]) -> dict[str, list[str]]:
    """Who watches these cases."""
    rows = await session.execute(
        text("""SELECT case_id, who FROM notifier.case_watchers
                WHERE case_id = ANY(CAST(:case_ids AS text[])) ORDER BY case_id, who"""),
        {"case_ids": list(case_ids)},
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.case_id, []).append(row.who)
    return found


async def watch(session: Session, case_id: str, who: str) -> bool:
    """Whether they did not watch it already."""
    done = await session.execute(
        text("INSERT INTO notifier.case_watchers (case_id, who) VALUES (:id, :who) ON CONFLICT DO NOTHING"),
        {"id": case_id, "who": who},
    )
    return done.rowcount > 0


async def unwatch(session: Session, case_id: str, who: str) -> bool:
    """Whether they watched it."""
    done = await session.execute(
        text("DELETE FROM notifier.case_watchers WHERE case_id = :id AND who = :who"),
        {"id": case_id, "who": who},
    )
    return done.rowcount > 0


async def add_steps(session: Session, steps: Sequence[tuple[str, str, datetime]]) -> None:
    """Escalation steps (case, step, when); raises IntegrityError for one that was taken before."""
    if steps:
        await session.execute(
            insert(tables.case_steps),
            [{"case_id": case_id, "step": step, "at": at} for case_id, step, at in steps],
        )
