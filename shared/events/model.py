"""The base of every event, and enums that survive a newer producer."""

from enum import StrEnum
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from shared.events.topics import Topic
from shared.feedback.identity import length_prefixed


class OpenEnum(StrEnum):
    """An enum that reads an unknown value as `other` and keeps the value as it was sent in `raw`.

    Subclasses declare a member `OTHER = "other"`.
    """

    @property
    def raw(self) -> str:
        """The value as it was sent."""
        return getattr(self, "_raw", self.value)

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, "other")
        unknown._name_, unknown._value_ = "OTHER", "other"
        unknown._raw = value  # type: ignore[attr-defined]  # noqa: SLF001 - a member of itself
        return unknown


class Part(BaseModel):
    """A piece of an event: frozen, and deaf to fields that a newer producer added."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    def body(self) -> bytes:
        """JSON without the fields that nobody set."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)


class Event(Part):
    """A fact that happened in one store."""

    type: ClassVar[str]
    topic: ClassVar[Topic]

    store: str

    def subject(self) -> tuple[str, ...]:
        """What the fact is about, within the store; the key is made of it."""
        raise NotImplementedError

    def key(self) -> bytes:
        """The Kafka key: length-prefixed parts, so that `a:b` + `c` is not `a` + `b:c`."""
        return length_prefixed(self.store, *self.subject()).encode()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return {"title": cls.type, **{k: v for k, v in cls.model_json_schema().items() if k != "title"}}
