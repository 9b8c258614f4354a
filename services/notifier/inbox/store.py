"""All SQL of the inbox: counts, neighbours in a list, who has how many cases, changes, and saved views."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from services.notifier.cases.domain.case import Case
from services.notifier.cases.store.cases import COLUMNS, IS_LIVE, case_of
from services.notifier.cases.store.search import CaseFilter, Place, conditions, selected, with_words_looked_up
from shared.db import Session

_PLACE = "(CAST(CAST(:due AS text) AS timestamptz), :case_id)"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The cases before and after a place in a list, and its position, counted from 1 up to a limit."""

    previous: tuple[str, Place] | None
    next: tuple[str, Place] | None
    position: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A case that changed, with who did the last thing in its history, and what it was."""

    case: Case
    who: str
    what: str


async def plan_each_query(session: Session) -> None:
    """Have PostgreSQL plan each query of the transaction for its own values.

    How rare the value of a filter is decides which plan is fast.
    """
    await session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


async def count_each(
    session: Session, store: str, case_filters: Sequence[CaseFilter], *, most: int
) -> list[int]:
    """How many cases each filter selects, counted no further than `most`."""
    numbers = []
    for case_filter in case_filters:
        where, parameters = conditions(await with_words_looked_up(session, store, case_filter))
        rows = await session.execute(
            text(f"SELECT count(*) FROM ({selected(case_filter, where, order='', shown='1')}) n"),
            parameters | {"store": store, "limit": most},
        )
        numbers.append(min(rows.scalar_one(), most))
    return numbers


async def neighbours(
    session: Session, store: str, case_filter: CaseFilter, place: Place, *, most: int
) -> Neighbours:
    """The neighbours of a place in a list, whether or not its case is still there."""
    where, parameters = conditions(await with_words_looked_up(session, store, case_filter))
    parameters |= {"store": store, "due": place.due, "case_id": place.case_id}
    sides = []
    for sign, order in (("<", "DESC"), (">", "ASC")):
        side = selected(case_filter, [*where, f"(c.due_at, c.case_id) {sign} {_PLACE}"], order=order)
        rows = await session.execute(
            text(f"""SELECT case_id, CAST(due_at AS text) AS due
                     FROM ({side}) c ORDER BY due_at {order}, case_id {order} LIMIT 1"""),
            parameters | {"limit": 1},
        )
        row = rows.first()
        sides.append((row.case_id, Place(row.due, row.case_id)) if row else None)
    before = selected(case_filter, [*where, f"(c.due_at, c.case_id) < {_PLACE}"], order="", shown="1")
    count = await session.execute(text(f"SELECT count(*) FROM ({before}) n"), parameters | {"limit": most})
    return Neighbours(sides[0], sides[1], min(count.scalar_one() + 1, most))


async def open_cases_by_owner(
    session: Session, store: str, owners: Iterable[str], *, most: int
) -> dict[str, int]:
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


async def last_ending(session: Session, store: str) -> tuple[str, datetime] | None:
    """Who closed or dismissed the last case, and when; None in a store where no case ever ended."""
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
    """The one of these stores that has the case."""
    rows = await session.execute(
        text("SELECT store FROM notifier.cases WHERE case_id = :id AND store = ANY(CAST(:stores AS text[]))"),
        {"id": case_id, "stores": sorted(stores)},
    )
    return rows.scalar_one_or_none()


async def database_clock(session: Session) -> datetime:
    """The moment by the clock of the database, by which `changed_at` is set."""
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


MOST_VIEWS = 20
"""Saved views of a person in a store."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """A list of cases that a person saved under a name; `query` is the query string of its address."""

    view_id: str
    name: str
    query: str


async def saved_views(session: Session, store: str, email: str) -> list[SavedView]:
    """The views that a person saved in a store, by name."""
    rows = await session.execute(
        text("""SELECT view_id, name, query FROM notifier.saved_views
                WHERE store = :store AND email = :email ORDER BY lower(name), view_id LIMIT :most"""),
        {"store": store, "email": email, "most": MOST_VIEWS},
    )
    return [SavedView(row.view_id, row.name, row.query) for row in rows]


async def save_view(session: Session, store: str, email: str, view: SavedView) -> bool:
    """Save a view, or change the one of the same name; False when the person has too many already."""
    saved = await session.execute(
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
            "most": MOST_VIEWS,
        },
    )
    return saved.rowcount == 1


async def remove_view(session: Session, store: str, email: str, view_id: str) -> bool:
    """Remove a saved view; False when the person has none of this id."""
    removed = await session.execute(
        text("""DELETE FROM notifier.saved_views
                WHERE store = :store AND email = :email AND view_id = :view_id"""),
        {"store": store, "email": email, "view_id": view_id},
    )
    return removed.rowcount == 1
