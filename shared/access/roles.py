"""The roles of a person in a store. Each may do everything that the role before it may."""

from typing import Literal

Role = Literal["agent", "manager", "admin"]
ROLES: tuple[Role, ...] = ("agent", "manager", "admin")


def role_of(word: str) -> Role:
    """The role of this name. Raises ValueError for another word."""
    for role in ROLES:
        if role == word:
            return role
    raise ValueError(f"role is one of {', '.join(ROLES)}")


def reaches(role: Role, least: Role) -> bool:
    """Whether a role is `least` or above it."""
    return ROLES.index(role) >= ROLES.index(least)
