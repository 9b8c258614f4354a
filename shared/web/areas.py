"""The areas of the product that have pages, and where each of them is."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Area:
    """`key` names it in templates (`current`), in addresses (`CLOSELOOP_URLS`) and on the keyboard."""

    key: str
    name: str
    path: str
    icon: str
    shortcut: str


AREAS: tuple[Area, ...] = (Area("inbox", "Inbox", "/inbox", "inbox", "i"),)
"""Those that there are. A service that gets pages adds its own here."""


class AreaUrls:
    """Where the areas are: on the same host, unless the environment says otherwise."""

    def __init__(self, bases: Mapping[str, str] | None = None) -> None:
        """`bases`: scheme, host and port by area key. Raises ValueError for an area that there is not."""
        self._bases = {key: base.rstrip("/") for key, base in (bases or {}).items()}
        if unknown := self._bases.keys() - {area.key for area in AREAS}:
            raise ValueError(f"there is no area {', '.join(sorted(unknown))}")

    def of(self, area: Area) -> str:
        return self._bases.get(area.key, "") + area.path

    @property
    def first(self) -> str:
        """Where somebody lands who asked for nothing in particular."""
        return self.of(AREAS[0])
