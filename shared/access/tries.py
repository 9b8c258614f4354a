"""Wrong tries to sign in, counted for each pair of e-mail and network address, and for each address.

A pair waits after some wrong tries that followed one another: so nobody guesses the password of an account,
and nobody locks its owner out from elsewhere. An address waits when it tries too often with whatever e-mails:
so nobody tries a common password with every account.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from shared.db import Session

MOST = 5
WAIT = timedelta(minutes=15)

MOST_OF_ADDRESS = 30
"""Wrong tries of an address within a full wait, with whatever e-mails; all people of an office share one."""


@dataclass(frozen=True, slots=True)
class Tries:
    """How many wrong tries followed one another, and when the last was."""

    count: int
    last_at: datetime

    def after_one(self, now: datetime) -> "Tries":
        """The tries with one more at `now`; those before a full wait are forgotten."""
        return Tries(1 if self.over(now) else self.count + 1, now)

    def wait(self, now: datetime) -> timedelta:
        """How long this pair must wait; zero when it may try now."""
        return timedelta() if self.over(now) or self.count < MOST else self.last_at + WAIT - now

    def over(self, now: datetime) -> bool:
        """Whether a full wait has passed since the last try."""
        return now >= self.last_at + WAIT


def pair(key: bytes, email: str, address: str) -> bytes:
    """The name of a pair in the table: an HMAC, from which neither e-mail nor address can be read."""
    return hmac.digest(key, f"{len(email)}:{email}{address}".encode(), hashlib.sha256)


def of_address(key: bytes, address: str) -> bytes:
    """The name of an address in the table, which is that of no pair."""
    return hmac.digest(key, f"address:{address}".encode(), hashlib.sha256)


def after_try_of_address(over_at: datetime, now: datetime) -> tuple[datetime, timedelta]:
    """When all tries of an address are over after one more, and how long that one has to wait.

    One try is over after a thirtieth of a full wait. `over_at`: the moment for the tries before.
    """
    after = max(over_at, now) + WAIT / MOST_OF_ADDRESS
    return after, max(timedelta(), after - now - WAIT)


async def enter_address(session: Session, name: bytes, now: datetime) -> timedelta:
    """Count a try of an address and return zero; or count nothing and return how long to wait.

    Where a pair is written too, the address comes first: two at once never wait for each other.
    """
    row = (
        await session.execute(
            text("""INSERT INTO access.sign_in_tries AS t (pair, tries, last_at) VALUES (:name, 0, :now)
                    ON CONFLICT (pair) DO UPDATE SET tries = t.tries RETURNING last_at"""),
            {"name": name, "now": now},
        )
    ).one()
    after, wait = after_try_of_address(row.last_at, now)
    if not wait:
        await session.execute(
            text("UPDATE access.sign_in_tries SET last_at = :after WHERE pair = :name"),
            {"after": after, "name": name},
        )
    return wait


async def take_back_address(session: Session, name: bytes) -> None:
    """Count a try of an address no longer: the password was right, or nobody looked at it."""
    await session.execute(
        text("UPDATE access.sign_in_tries SET last_at = last_at - CAST(:one AS interval) WHERE pair = :name"),
        {"one": WAIT / MOST_OF_ADDRESS, "name": name},
    )


async def enter(session: Session, name: bytes, now: datetime) -> timedelta:
    """Count a try and return zero; or count nothing and return how long to wait, after too many.

    Called before the password is checked, so that of a hundred requests at once only five are tries.
    """
    await session.execute(
        text("DELETE FROM access.sign_in_tries WHERE last_at < :day"), {"day": now - timedelta(days=1)}
    )
    # One statement: between two, a right try of the same pair could delete the row.
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


async def take_back(session: Session, name: bytes) -> None:
    """Count a try of a pair no longer: nobody looked at the password. The tries before it stay."""
    await session.execute(
        text("UPDATE access.sign_in_tries SET tries = greatest(tries - 1, 0) WHERE pair = :pair"),
        {"pair": name},
    )


async def forget(session: Session, name: bytes) -> None:
    """Delete the wrong tries of a pair, after a right one."""
    await session.execute(text("DELETE FROM access.sign_in_tries WHERE pair = :pair"), {"pair": name})
