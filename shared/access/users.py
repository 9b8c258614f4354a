"""Accounts of people: e-mail, password (argon2id) and membership of stores."""

from typing import Literal

from argon2 import PasswordHasher
from sqlalchemy import text

from shared.db import Session

Role = Literal["agent", "manager", "admin"]
ROLES: tuple[Role, ...] = ("agent", "manager", "admin")


async def ensure(session: Session, *, email: str, password: str, store: str, role: str) -> None:
    """Make the account, or set the password and the role of the one that is there.

    Raises ValueError for an unknown role.
    """
    if role not in ROLES:
        raise ValueError(f"role is one of {', '.join(ROLES)}")
    user = await session.execute(
        text("""INSERT INTO access.users (email, password_hash) VALUES (:email, :hash)
                ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash
                RETURNING user_id"""),
        {"email": email.strip().casefold(), "hash": PasswordHasher().hash(password)},
    )
    await session.execute(
        text("""INSERT INTO access.members (user_id, store, role) VALUES (:user, :store, :role)
                ON CONFLICT (user_id, store) DO UPDATE SET role = excluded.role"""),
        {"user": user.scalar_one(), "store": store, "role": role},
    )
