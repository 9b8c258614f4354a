"""Teams, and whose turn it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Assign(StrEnum):
    """How a case finds its owner when it opens."""

    NONE = "none"
    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"


@dataclass(frozen=True, slots=True)
class Team:
    name: str
    members: tuple[str, ...] = ()
    lead: str | None = None
    assign: Assign = Assign.NONE


def next_owner(team: Team, how: Assign, turn: int, load: Mapping[str, int]) -> str | None:
    """The member whose turn it is; `turn` counts the turns that were taken before.

    Round robin: each in the order of the list. Least loaded: who has the fewest cases in work, and of
    those who have equally few the one whose turn comes first. None in a team without members.
    """
    if not team.members:
        return None
    place = turn % len(team.members)
    in_turn = team.members[place:] + team.members[:place]
    if how is Assign.LEAST_LOADED:
        return min(in_turn, key=lambda member: load.get(member, 0))
    return in_turn[0]
