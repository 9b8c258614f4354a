"""A person who is signed in, and a member of a store, as services and pages see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.access.roles import Role


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in. `stores` are those that they work for, with their role in each.

    `session_id` is the hash of the session's secret: it names the session, and nobody can sign in with it.
    `session_ends`: when they have to sign in again whatever happens.
    """

    user_id: int
    email: str
    name: str
    initials: str
    stores: Mapping[str, Role]
    session_id: str
    session_ends: datetime
    shortcuts: bool = True

    @property
    def who(self) -> str:
        """The name of this person in the history of a case."""
        return f"user:{self.email}"


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who works for a store, signed in or not, or who was invited to."""

    email: str
    name: str
    role: Role

    @property
    def initials(self) -> str:
        return initials(self.name)


def initials(name: str) -> str:
    """One or two capitals for an avatar: `Ines Moreau` is IM, `ines@shop.example` is I."""
    words = [word for word in name.partition("@")[0].split() if word[0].isalnum()]
    picked = words[:1] + words[1:][-1:]
    return "".join(word[0] for word in picked).upper() or "?"
