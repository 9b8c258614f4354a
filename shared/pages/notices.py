"""A notice about an action, shown once, on the page that follows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["ok", "info", "warn", "danger"]


@dataclass(frozen=True, slots=True)
class UndoButton:
    """A button in the notice that posts these fields to the address `action`; the CSRF token is added."""

    action: str
    fields: Mapping[str, str | list[str]] = field(default_factory=dict)
    label: str = "UndoButton"


@dataclass(frozen=True, slots=True)
class FlashMessage:
    """`text` is a sentence; `heading`, if any, stands above it."""

    kind: Kind
    text: str
    heading: str = ""
    undo: UndoButton | None = None

    def packed(self) -> dict[str, Any]:
        """The notice as JSON for a cookie; `unpacked` reads it."""
        undo = self.undo and [self.undo.action, dict(self.undo.fields), self.undo.label]
        return {"kind": self.kind, "text": self.text, "heading": self.heading, "undo": undo}

    @classmethod
    def unpacked(cls, packed: Any) -> "FlashMessage":
        undo = UndoButton(*packed["undo"]) if packed["undo"] else None
        return cls(packed["kind"], packed["text"], packed["heading"], undo)
