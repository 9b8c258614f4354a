"""What the inbox shows beside its list: counts, what lies beside a case, loads, and what changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from services.notifier.cases.domain.case import Case
from services.notifier.cases.store.cases import COLUMNS, IS_LIVE, case_of
from services.notifier.cases.store.search import Filter, Place, conditions, picked, resolved
from shared.db import Session

_PLACE = "(CAST(CAST(:due AS text) AS timestamptz), :case_id)"


@dataclass(frozen=True, slots=True)
class Beside:
    """What lies around a place of a list; `position` counts from 1 and goes no further than was asked."""

    before: tuple[str, Place] | None
    after: tuple[str, Place] | None
    position: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A case that changed, and who did the last thing in its history."""

    case: Case
    who: str
    what: str


async def plan_each(session: Session) -> None:
    """How rare a filter's value is decides the plan, so it must not be made for any value."""
    await session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


async def counts(session: Session, store: str, wanted: Sequence[Filter], *, most: int) -> list[int]:
    """How many cases each filter has, counted no further than `most`."""
    found = []
    for each in wanted:
        where, given = conditions(await resolved(session, store, each))
        rows = await session.execute(
            text(f"SELECT count(*) FROM ({picked(each, where, order='', shown='1')}) n"),
            given | {"store": store, "limit": most},
        )
        found.append(min(rows.scalar_one(), most))
    return found


async def beside(session: Session, store: str, wanted: Filter, place: Place, *, most: int) -> Beside:
    """The neighbours of a place in a list, whether or not its case is still there."""
    where, given = conditions(await resolved(session, store, wanted))
    given |= {"store": store, "due": place.due, "case_id": place.case_id}
    sides = []
    for sign, order in (("<", "DESC"), (">", "ASC")):
        there = picked(wanted, [*where, f"(c.due_at, c.case_id) {sign} {_PLACE}"], order=order)
        rows = await session.execute(
            text(f"""SELECT case_id, CAST(due_at AS text) AS due
                     FROM ({there}) c ORDER BY due_at {order}, case_id {order} LIMIT 1"""),
            given | {"limit": 1},
        )
        row = rows.first()
        sides.append((row.case_id, Place(row.due, row.case_id)) if row else None)
    before = await session.execute(
        text(f"""SELECT count(*) FROM
                 ({picked(wanted, [*where, f"(c.due_at, c.case_id) < {_PLACE}"], order="", shown="1")}) n"""),
        given | {"limit": most},
    )
    return Beside(sides[0], sides[1], min(before.scalar_one() + 1, most))


async def loads(session: Session, store: str, owners: Iterable[str], *, most: int) -> dict[str, int]:
    """How many cases in work each of these people has, counted no further than `most`."""
    rows = await session.execute(
        text(f"""SELECT o.owner, (SELECT count(*) FROM (
                           SELECT 1 FROM notifier.cases c
                           WHERE c.store = :store AND c.owner = o.owner
                                 AND {IS_LIVE} LIMIT :most) n) AS n
                FROM unnest(CAST(:owners AS text[])) AS o(owner)"""),
        {"store": store, "owners": sorted(set(owners)), "most": most},
    )
    return {row.owner: row.n for row in rows}


async def last_end(session: Session, store: str) -> tuple[str, datetime] | None:
    """Who closed or dismissed the last case, and when; None in a store that never had one."""
    rows = await session.execute(
        text("""SELECT c.closed_at, h.who FROM notifier.cases c
                CROSS JOIN LATERAL (SELECT who FROM notifier.history h WHERE h.case_id = c.case_id
                                    AND h.what IN ('closed', 'dismissed') ORDER BY h.id DESC LIMIT 1) h
                WHERE c.store = :store AND c.closed_at IS NOT NULL ORDER BY c.closed_at DESC LIMIT 1"""),
        {"store": store},
    )
    row = rows.first()
    return (row.who, row.closed_at) if row else None


async def store_among(session: Session, case_id: str, stores: Iterable[str]) -> str | None:
    """Which of these stores has the case."""
    rows = await session.execute(
        text("SELECT store FROM notifier.cases WHERE case_id = :id AND store = ANY(CAST(:stores AS text[]))"),
        {"id": case_id, "stores": sorted(stores)},
    )
    return rows.scalar_one_or_none()


async def clock(session: Session) -> datetime:
    """The database's, by which `changed_at` is set."""
    moment: datetime = (await session.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return moment


async def changed_since(session: Session, store: str, since: datetime, *, limit: int) -> list[Changed]:
    """The cases that changed after this moment, in that order."""
    rows = await session.execute(
        text(f"""SELECT {COLUMNS}, h.who, h.what FROM notifier.cases c
                 LEFT JOIN LATERAL (SELECT who, what FROM notifier.history h WHERE h.case_id = c.case_id
                                    ORDER BY h.id DESC LIMIT 1) h ON true
                 WHERE c.store = :store AND c.changed_at > :since
                 ORDER BY c.changed_at LIMIT :limit"""),
        {"store": store, "since": since, "limit": limit},
    )
    return [Changed(case_of(row), row.who or "system", row.what or "") for row in rows]


# Views of the inbox that people saved for themselves: a name for what they filter by.

MOST = 20
"""Views of a person in a store."""


@dataclass(frozen=True, slots=True)
class SavedView:
    view_id: str
    name: str
    query: str


async def of_person(session: Session, store: str, email: str) -> list[SavedView]:
    """In the order of their names."""
    rows = await session.execute(
        text("""SELECT view_id, name, query FROM notifier.saved_views
                WHERE store = :store AND email = :email ORDER BY lower(name), view_id LIMIT :most"""),
        {"store": store, "email": email, "most": MOST},
    )
    return [SavedView(row.view_id, row.name, row.query) for row in rows]


async def save(session: Session, store: str, email: str, view: SavedView) -> bool:
    """Keep a view, or change the one of the same name; False when the person has too many already."""
    done = await session.execute(
        text("""INSERT INTO notifier.saved_views (view_id, store, email, name, query)
                SELECT :view_id, :store, :email, :name, :query
                WHERE EXISTS (SELECT FROM notifier.saved_views
                              WHERE store = :store AND email = :email AND name = :name)
                   OR (SELECT count(*) FROM notifier.saved_views
                       WHERE store = :store AND email = :email) < :most
                ON CONFLICT (store, email, name) DO UPDATE SET query = excluded.query"""),
        {
            "view_id": view.view_id,
            "store": store,
            "email": email,
            "name": view.name,
            "query": view.query,
            "most": MOST,
        },
    )
    return done.rowcount == 1


async def remove(session: Session, store: str, email: str, view_id: str) -> bool:
    """Whether the person had it."""
    gone = await session.execute(
        text("""DELETE FROM notifier.saved_views
                WHERE store = :store AND email = :email AND view_id = :view_id"""),
        {"store": store, "email": email, "view_id": view_id},
    )
    return gone.rowcount == 1
