"""Accounts of people: e-mail, name, password and membership of stores."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from shared.access.passwords import hashed
from shared.access.roles import ROLES, Role, role_of
from shared.db import Session
from shared.feedback.identity import normal_email

LONGEST_EMAIL = 254
LONGEST_NAME = 80

_EMAIL = re.compile(r"[^\s@\"<>,;:\\()\[\]\x00-\x1f\x7f]{1,64}@[^\s@\"<>,;:\\()\[\]\x00-\x1f\x7f]{1,189}")


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a person as it is stored."""

    user_id: int
    email: str
    name: str
    password_hash: str | None
    password_version: int
    active: bool
    stores: dict[str, Role]
    created_at: datetime
    last_seen_at: datetime | None

    @property
    def shown_name(self) -> str:
        return self.name or self.email.partition("@")[0]


def checked_email(address: str) -> str:
    """The address in its normal form. Raises ValueError when it is no e-mail address."""
    email = normal_email(address)
    if len(email) > LONGEST_EMAIL or not _EMAIL.fullmatch(email):
        raise ValueError("is not an e-mail address, as ines@shop.example is")
    return email


async def ensure(
    session: Session, *, email: str, password: str, store: str, role: str, name: str = ""
) -> None:
    """Make an account with this password and role, or set both of an existing one, which keeps its name.

    Raises ValueError for an unknown role.
    """
    checked_role = role_of(role)
    user = await session.execute(
        text("""INSERT INTO access.users (email, name, password_hash) VALUES (:email, :name, :hash)
                ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash, active = true,
                    name = COALESCE(NULLIF(users.name, ''), excluded.name)
                RETURNING user_id"""),
        {"email": normal_email(email), "name": name, "hash": hashed(password)},
    )
    await set_role(session, user.scalar_one(), store, checked_role)


async def add(session: Session, *, email: str, name: str = "") -> int:
    """The id of the account of an address; a new one has no password, a closed one is opened again.

    Raises ValueError when it is no e-mail address.
    """
    account = await session.execute(
        text("""INSERT INTO access.users (email, name) VALUES (:email, :name)
                ON CONFLICT (email) DO UPDATE SET active = true,
                    name = CASE WHEN excluded.name = '' THEN users.name ELSE excluded.name END
                RETURNING user_id"""),
        {"email": checked_email(email), "name": name},
    )
    return int(account.scalar_one())


async def set_role(session: Session, user_id: int, store: str, role: Role) -> None:
    """Give somebody this role in a store, in the place of the one that they had there."""
    await session.execute(
        text("""INSERT INTO access.members (user_id, store, role) VALUES (:user, :store, :role)
                ON CONFLICT (user_id, store) DO UPDATE SET role = excluded.role"""),
        {"user": user_id, "store": store, "role": role},
    )


async def leave(session: Session, user_id: int, store: str) -> bool:
    """Take somebody out of a store; False when they were no member of it."""
    removed = await session.execute(
        text("DELETE FROM access.members WHERE user_id = :user AND store = :store"),
        {"user": user_id, "store": store},
    )
    return removed.rowcount == 1


async def deactivate(session: Session, user_id: int) -> None:
    """Close an account: its memberships, sessions, password and links end. Histories keep the name."""
    await session.execute(
        text("""UPDATE access.users SET active = false, password_hash = NULL,
                    password_version = password_version + 1 WHERE user_id = :user"""),
        {"user": user_id},
    )
    await session.execute(text("DELETE FROM access.members WHERE user_id = :user"), {"user": user_id})
    await session.execute(text("DELETE FROM access.sessions WHERE user_id = :user"), {"user": user_id})


async def set_password(session: Session, user_id: int, *, version: int, password_hash: str) -> bool:
    """Replace the password of this version and end every session; False when it was replaced before.

    So a link that was used, or two uses of it at the same moment, do not set a second password.
    """
    replaced = await session.execute(
        text("""UPDATE access.users SET password_hash = :hash, password_version = password_version + 1
                WHERE user_id = :user AND active AND password_version = :version"""),
        {"user": user_id, "hash": password_hash, "version": version},
    )
    if replaced.rowcount != 1:
        return False
    await session.execute(text("DELETE FROM access.sessions WHERE user_id = :user"), {"user": user_id})
    return True


async def renew_hash(session: Session, user_id: int, *, before: str, after: str) -> None:
    """Replace the hash by a newer one of the same password; nobody is signed out."""
    await session.execute(
        text(
            "UPDATE access.users SET password_hash = :after WHERE user_id = :user AND password_hash = :before"
        ),
        {"user": user_id, "before": before, "after": after},
    )


async def set_name(session: Session, user_id: int, name: str) -> None:
    await session.execute(
        text("UPDATE access.users SET name = :name WHERE user_id = :user"), {"user": user_id, "name": name}
    )


async def set_shortcuts(session: Session, user_id: int, on: bool) -> None:
    """Turn the keyboard shortcuts of the pages on or off for somebody."""
    await session.execute(
        text("UPDATE access.users SET shortcuts = :is_on WHERE user_id = :user"),
        {"user": user_id, "is_on": on},
    )


async def by_email(session: Session, email: str) -> Account | None:
    """The account of an address, also one that was closed."""
    return next(iter(await _accounts(session, email=email)), None)


async def by_id(session: Session, user_id: int) -> Account | None:
    return next(iter(await _accounts(session, user_id=user_id)), None)


async def members_among(session: Session, store: str, addresses: Iterable[str]) -> tuple[str, ...]:
    """Those of these e-mail addresses whose people work for the store, as they are stored, in this order."""
    emails = [normal_email(address) for address in addresses]
    rows = await session.execute(
        text("""SELECT u.email FROM access.users u JOIN access.members m USING (user_id)
                WHERE u.email = ANY(CAST(:emails AS text[])) AND u.active AND m.store = :store"""),
        {"emails": emails, "store": store},
    )
    members = set(rows.scalars())
    return tuple(email for email in emails if email in members)


async def all_accounts(session: Session, store: str | None = None) -> list[Account]:
    """All accounts, or those of one store, in the order of their e-mail addresses."""
    return await _accounts(session, store=store)


async def _accounts(
    session: Session, *, email: str | None = None, user_id: int | None = None, store: str | None = None
) -> list[Account]:
    rows = await session.execute(
        text("""SELECT u.user_id, u.email, u.name, u.password_hash, u.password_version, u.active,
                       u.created_at,
                       (SELECT max(last_seen_at) FROM access.sessions s WHERE s.user_id = u.user_id)
                           AS last_seen_at,
                       (SELECT COALESCE(jsonb_object_agg(m.store, m.role), '{}')
                        FROM access.members m WHERE m.user_id = u.user_id) AS stores
                FROM access.users u
                WHERE (CAST(:email AS text) IS NULL OR u.email = :email)
                  AND (CAST(:user AS bigint) IS NULL OR u.user_id = :user)
                  AND (CAST(:store AS text) IS NULL OR EXISTS (
                      SELECT FROM access.members m WHERE m.user_id = u.user_id AND m.store = :store))
                ORDER BY u.email"""),
        {"email": email, "user": user_id, "store": store},
    )
    return [
        Account(
            r.user_id,
            r.email,
            r.name,
            r.password_hash,
            r.password_version,
            r.active,
            r.stores,
            r.created_at,
            r.last_seen_at,
        )
        for r in rows
    ]


__all__ = [
    "ROLES",
    "Account",
    "Role",
    "add",
    "all_accounts",
    "by_email",
    "by_id",
    "checked_email",
    "deactivate",
    "ensure",
    "leave",
    "members_among",
    "renew_hash",
    "role_of",
    "set_name",
    "set_password",
    "set_role",
    "set_shortcuts",
]
