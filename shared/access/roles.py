"""What a person may do in a store, each role all that the one before may."""

from typing import Literal

from shared.access.scopes import Scope

Role = Literal["agent", "manager", "admin"]
ROLES: tuple[Role, ...] = ("agent", "manager", "admin")

_READ = frozenset({Scope.CASES_READ, Scope.CUSTOMERS_READ, Scope.SCORES_READ})

SCOPES: dict[Role, frozenset[Scope]] = {
    "agent": _READ | {Scope.CASES_WRITE},
    "manager": _READ | {Scope.CASES_WRITE, Scope.RESPONSES_WRITE},
    "admin": frozenset(Scope),
}
"""The scopes that a key would need for what the role does in the pages."""


def role_of(word: str) -> Role:
    """Raises ValueError for a word that is no role."""
    for role in ROLES:
        if role == word:
            return role
    raise ValueError(f"role is one of {', '.join(ROLES)}")


def reaches(role: Role, least: Role) -> bool:
    """Whether a role is the least one that is wanted, or above it."""
    return ROLES.index(role) >= ROLES.index(least)
