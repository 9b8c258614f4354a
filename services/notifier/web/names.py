"""The names of people, for the addresses that are stored."""

from __future__ import annotations

from collections.abc import Iterable

from shared.access import Member
from shared.access.people import initials

OURSELVES = "Closeloop"


class Names:
    """The members of a store. Somebody who left, or a word that a program gave, is called by that."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.members = list(members)
        self._by_email = {member.email: member for member in self.members}

    def of(self, owner: str | None) -> str:
        """Empty for nobody."""
        member = self._by_email.get(owner or "")
        return member.name if member else owner or ""

    def initials(self, owner: str | None) -> str:
        member = self._by_email.get(owner or "")
        return member.initials if member else initials(owner or "")

    def actor(self, who: str) -> str:
        """Of the history: a person, a program by its key, or ourselves."""
        kind, _, name = who.partition(":")
        if kind == "user":
            return self.of(name)
        return f"The API key {name}" if kind == "key" else OURSELVES

    def __contains__(self, email: str) -> bool:
        return email in self._by_email
