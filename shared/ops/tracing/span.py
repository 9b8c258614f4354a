"""A span as callers see it; this one, used while tracing is off, records nothing."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

Value = str | int | float | bool


class Span:
    """Records nothing, and passes on the `traceparent` that it was given.

    As a context manager it notes the type of an exception that its block raises; not the text, which may
    quote a customer.
    """

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent
        """To be sent to whoever goes on with the work: it names this span as the parent."""

    def rename(self, name: str) -> None:
        """Change the name, when the right one is known late."""

    def put(self, attributes: Mapping[str, Value]) -> None:
        """Set attributes, named by the constants in `names`; never a customer's name or words."""

    def fail(self, error_type: str) -> None:
        """Mark the work as failed; `error_type` is one of few values, such as an exception's type."""

    def end(self) -> None:
        """Note the end of the work."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.fail(kind.__name__)
        self.end()
