"""Sessions of people in the database: a secret that only the browser has, stored as a hash."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from shared.access.roles import Role
from shared.db import Session

DAYS = 14
"""How long a session lasts after it was last used."""

MOST_DAYS = 30
"""How long it lasts after it began, however often it is used."""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session that is not over, and the person to whom it belongs.

    `expires_at`: when it ends if it is used no more; `ends_at`: when it ends whatever happens.
    """

    digest: bytes
    user_id: int
    expires_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class StoredPerson:
    """The person of an open account, with their stores."""

    user_id: int
    email: str
    name: str
    shortcuts: bool
    stores: dict[str, Role]


def digest(secret: str) -> bytes:
    # The secret is 256 random bits: nothing is gained by a slow hash.
    return hashlib.sha256(secret.encode()).digest()


async def begin(session: Session, user_id: int) -> str:
    """Begin a session and return its secret, for the cookie. Sessions that are over are deleted."""
    secret = secrets.token_urlsafe(32)
    await session.execute(
        text("""DELETE FROM access.sessions
                WHERE expires_at <= now() OR created_at <= now() - make_interval(days => :most)"""),
        {"most": MOST_DAYS},
    )
    await session.execute(
        text("""INSERT INTO access.sessions (digest, user_id, expires_at)
                VALUES (:digest, :user, now() + make_interval(days => :days))"""),
        {"digest": digest(secret), "user": user_id, "days": DAYS},
    )
    return secret


async def end(session: Session, session_digest: bytes) -> None:
    await session.execute(
        text("DELETE FROM access.sessions WHERE digest = :digest"), {"digest": session_digest}
    )


async def end_all(session: Session, user_id: int) -> None:
    """Sign somebody out everywhere."""
    await session.execute(text("DELETE FROM access.sessions WHERE user_id = :user"), {"user": user_id})


async def note_use(session: Session, used: Sequence[tuple[bytes, datetime]]) -> None:
    """Store when sessions were last used, to the minute, which lengthens them. All services do so."""
    await session.execute(
        text("""UPDATE access.sessions s
                SET last_seen_at = u.at, expires_at = u.at + make_interval(days => :days)
                FROM (SELECT * FROM unnest(CAST(:digests AS bytea[]), CAST(:ats AS timestamptz[]))
                      AS x(digest, at) ORDER BY 1) u
                WHERE s.digest = u.digest AND s.last_seen_at < u.at - interval '1 minute'"""),
        {"digests": [name for name, _ in used], "ats": [at for _, at in used], "days": DAYS},
    )


async def everybody(session: Session) -> list[StoredPerson]:
    """Every open account with its stores, in the order of their names."""
    rows = await session.execute(
        text("""SELECT u.user_id, u.email, u.name, u.shortcuts,
                       COALESCE(jsonb_object_agg(m.store, m.role) FILTER (WHERE m.store IS NOT NULL), '{}')
                           AS stores
                FROM access.users u LEFT JOIN access.members m USING (user_id)
                WHERE u.active GROUP BY u.user_id ORDER BY u.email""")
    )
    return [
        StoredPerson(r.user_id, r.email, r.name, r.shortcuts, dict(sorted(r.stores.items()))) for r in rows
    ]


async def all_living(session: Session) -> list[StoredSession]:
    """Every session that is not over."""
    rows = await session.execute(
        text("""SELECT digest, user_id, LEAST(expires_at, ends_at) AS expires_at, ends_at
                FROM (SELECT *, created_at + make_interval(days => :most) AS ends_at FROM access.sessions) s
                WHERE LEAST(expires_at, ends_at) > now()"""),
        {"most": MOST_DAYS},
    )
    return [StoredSession(r.digest, r.user_id, r.expires_at, r.ends_at) for r in rows]
