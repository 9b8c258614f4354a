"""The cache of people that every service with pages checks sessions against."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

from shared.access import sessions
from shared.access.people import Member, Person, initials
from shared.access.sessions import StoredPerson, StoredSession
from shared.db import Database
from shared.ops.health import NotReady
from shared.ops.logs import log

_log = log("access")

REFRESH_SECONDS = 2.0
"""Below the 5 s within which somebody who was removed must be out, with room for a slow read."""

_REREAD_SECONDS = 0.05


class PeopleUnavailable(Exception):
    """The session is not known and PostgreSQL cannot say whether it exists: 503, never signed out."""


class Roster:
    """All people and sessions in memory, read again every 2 s; keeps what it has while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._people: dict[int, StoredPerson] = {}
        self._sessions: dict[bytes, StoredSession] = {}
        self._fresh_at = float("-inf")
        self._reading = asyncio.Lock()
        self._used: dict[bytes, datetime] = {}

    async def refresh(self) -> None:
        """Read everybody, and write down when sessions were used. What was committed before is seen."""
        await self._refresh_since(asyncio.get_running_loop().time())

    async def _refresh_since(self, asked: float) -> None:
        async with self._reading:
            if self._fresh_at >= asked:
                return
            started = asyncio.get_running_loop().time()
            used, self._used = self._used, {}
            async with self._database.transaction() as session:
                if used:
                    await sessions.note_use(session, list(used.items()))
                people = await sessions.everybody(session)
                living = await sessions.all_living(session)
            self._people = {person.user_id: person for person in people}
            self._sessions = {each.digest: each for each in living}
            self._fresh_at = started

    async def keep_fresh(self) -> None:
        """Refresh for ever; a failure leaves what is known."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except Exception as error:  # PostgreSQL is away: the next round tries again
                _log.warning("people.not_refreshed", exc_info=error)

    async def check(self) -> None:
        """Readiness: people were read once."""
        if self._fresh_at == float("-inf"):
            raise NotReady("people were never read")

    def known(self, secret: str) -> Person | None:
        """Who has the session of this secret, from memory alone; None when it is unknown or over."""
        digest = sessions.digest(secret)
        now = datetime.now(UTC)
        stored = self._sessions.get(digest)
        person = self._people.get(stored.user_id) if stored and stored.expires_at > now else None
        if person is None:
            return None
        self._used[digest] = now
        name = person.name or person.email.partition("@")[0]
        return Person(
            person.user_id,
            person.email,
            name,
            initials(name),
            person.stores,
            digest.hex(),
            person.shortcuts,
        )

    async def find(self, secret: str) -> Person | None:
        """As `known`, but asks PostgreSQL about a session that may be seconds old.

        Only for secrets whose cookie bore our signature: whoever makes them up must not make us read.
        Raises PeopleUnavailable when PostgreSQL does not answer.
        """
        person = self.known(secret)
        if person or sessions.digest(secret) in self._sessions:
            return person
        asked = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(2):
                # A session that ended long ago makes us ask too: 20 reads a second at most.
                await asyncio.sleep(max(0.0, self._fresh_at + _REREAD_SECONDS - asked))
                await self._refresh_since(asked)
        except Exception as error:
            raise PeopleUnavailable from error
        return self.known(secret)

    def members(self, store: str) -> list[Member]:
        """Who works for a store, in the order of their names."""
        return sorted(self._members(store), key=lambda member: (member.name.casefold(), member.email))

    def _members(self, store: str) -> Iterator[Member]:
        for person in self._people.values():
            if role := person.stores.get(store):
                yield Member(person.email, person.name or person.email.partition("@")[0], role)
