"""Which of several originals counts."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, TypeVar


class Outcome(StrEnum):
    OK = "ok"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class _Original(Protocol):
    @property
    def ce_id(self) -> str: ...

    @property
    def content(self) -> object:
        """What two deliveries of the same thing have in common."""


_O = TypeVar("_O", bound=_Original)


def first_of(known: _O | None, said: _O) -> tuple[_O, Outcome]:
    """The original that counts, and what the newcomer is beside the known one."""
    if known is None:
        return said, Outcome.OK
    outcome = Outcome.DUPLICATE if known.content == said.content else Outcome.CONFLICT
    return (said if said.ce_id < known.ce_id else known), outcome
