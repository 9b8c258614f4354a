"""What a page says about what was just done, once, on the page that follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["ok", "info", "warn", "danger"]


@dataclass(frozen=True, slots=True)
class Undo:
    """A button in the notice that posts these fields to `action`; the token is added."""

    action: str
    fields: Mapping[str, str | list[str]] = field(default_factory=dict)
    label: str = "Undo"


@dataclass(frozen=True, slots=True)
class Notice:
    """`text` is a sentence; `heading` stands above it when there is more to say."""

    kind: Kind
    text: str
    heading: str = ""
    undo: Undo | None = None

    def packed(self) -> dict[str, Any]:
        undo = self.undo and [self.undo.action, dict(self.undo.fields), self.undo.label]
        return {"kind": self.kind, "text": self.text, "heading": self.heading, "undo": undo}

    @classmethod
    def unpacked(cls, packed: Any) -> "Notice":
        undo = Undo(*packed["undo"]) if packed["undo"] else None
        return cls(packed["kind"], packed["text"], packed["heading"], undo)
