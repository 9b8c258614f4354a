"""The cache of people and sessions, with which every service that has pages checks who is signed in."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from shared.access import sessions
from shared.access.cache import Cache
from shared.access.people import Member, Person, initials
from shared.access.sessions import StoredPerson, StoredSession
from shared.db import Database, Session


class Roster(Cache[bytes]):
    """All people and sessions in memory; see `Cache`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "people")
        self._people: dict[int, StoredPerson] = {}
        self._sessions: dict[bytes, StoredSession] = {}

    async def _read(self, session: Session) -> None:
        people = await sessions.everybody(session)
        open_sessions = await sessions.all_living(session)
        self._people = {person.user_id: person for person in people}
        self._sessions = {stored.digest: stored for stored in open_sessions}

    async def _write_uses(self, session: Session, used: Sequence[tuple[bytes, datetime]]) -> None:
        await sessions.note_use(session, used)

    def known(self, secret: str) -> Person | None:
        """The person of the session with this secret, from memory alone. None when it is unknown or over."""
        digest = sessions.digest(secret)
        now = datetime.now(UTC)
        stored = self._sessions.get(digest)
        if stored is None or stored.expires_at <= now:
            return None
        person = self._people.get(stored.user_id)
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
            stored.ends_at,
            person.shortcuts,
        )

    async def find(self, secret: str) -> Person | None:
        """As `known`, but asks PostgreSQL for a session that may have begun seconds ago.

        Call it only for a secret from a cookie with our signature: invented ones must not make us read.
        Raises AccessUnavailable when PostgreSQL does not answer.
        """
        person = self.known(secret)
        if person or sessions.digest(secret) in self._sessions:
            return person
        await self._ask()
        return self.known(secret)

    def members(self, store: str) -> list[Member]:
        """The people who work for a store, in the order of their names."""
        return sorted(self._members(store), key=lambda member: (member.name.casefold(), member.email))

    def _members(self, store: str) -> Iterator[Member]:
        for person in self._people.values():
            if role := person.stores.get(store):
                yield Member(person.email, person.name or person.email.partition("@")[0], role)
