"""Wrong tries to sign in, counted for each e-mail at each address."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from shared.db import Session

MOST = 5
WAIT = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Tries:
    """How many there were without a right one between, and when the last was."""

    count: int
    last_at: datetime

    def after_one(self, now: datetime) -> "Tries":
        """With one more at `now`; what is older than the wait is forgotten."""
        return Tries(1 if self.over(now) else self.count + 1, now)

    def wait(self, now: datetime) -> timedelta:
        """How long this pair must not try; zero when it may."""
        return timedelta() if self.over(now) or self.count < MOST else self.last_at + WAIT - now

    def over(self, now: datetime) -> bool:
        return now >= self.last_at + WAIT


def pair(key: bytes, email: str, address: str) -> bytes:
    """The name of a pair, from which neither can be read."""
    return hmac.digest(key, f"{len(email)}:{email}{address}".encode(), hashlib.sha256)


async def enter(session: Session, name: bytes, now: datetime) -> timedelta:
    """Count a try before its password is looked at; or how long to wait, when there were too many.

    Counted first, so that a hundred at once are not a hundred tries.
    """
    await session.execute(
        text("DELETE FROM access.sign_in_tries WHERE last_at < :day"), {"day": now - timedelta(days=1)}
    )
    # One statement: between two of them a right try of the same pair could take the row away.
    row = (
        await session.execute(
            text("""INSERT INTO access.sign_in_tries AS t (pair, tries, last_at) VALUES (:pair, 0, :now)
                    ON CONFLICT (pair) DO UPDATE SET tries = t.tries RETURNING tries, last_at"""),
            {"pair": name, "now": now},
        )
    ).one()
    before = Tries(row.tries, row.last_at)
    if wait := before.wait(now):
        return wait
    after = before.after_one(now)
    await session.execute(
        text("UPDATE access.sign_in_tries SET tries = :tries, last_at = :at WHERE pair = :pair"),
        {"tries": after.count, "at": after.last_at, "pair": name},
    )
    return timedelta()


async def forget(session: Session, name: bytes) -> None:
    """The password was right."""
    await session.execute(text("DELETE FROM access.sign_in_tries WHERE pair = :pair"), {"pair": name})
