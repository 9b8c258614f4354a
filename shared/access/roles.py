"""What a person may do in a store, each role all that the one before may."""

from typing import Literal

Role = Literal["agent", "manager", "admin"]
ROLES: tuple[Role, ...] = ("agent", "manager", "admin")


def role_of(word: str) -> Role:
    """Raises ValueError for a word that is no role."""
    for role in ROLES:
        if role == word:
            return role
    raise ValueError(f"role is one of {', '.join(ROLES)}")


def reaches(role: Role, least: Role) -> bool:
    """Whether a role is the least one that is wanted, or above it."""
    return ROLES.index(role) >= ROLES.index(least)
