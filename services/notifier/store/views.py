"""Views of the inbox that people saved for themselves: a name for what they filter by."""

from dataclasses import dataclass

from sqlalchemy import text

from shared.db import Session

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
