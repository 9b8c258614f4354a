"""A span as the product sees it, and as it is while tracing is off."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

Value = str | int | float | bool


class Span:
    """Records nothing, and passes on the `traceparent` that it was given.

    Used as a context manager it fails with what its block raises: by type, because the text of an
    exception may quote a customer.
    """

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent
        """What the next hop is to be given: it names this span as its parent."""

    def rename(self, name: str) -> None:
        """For a name that is known late."""

    def put(self, attributes: Mapping[str, Value]) -> None:
        """Attributes by the constants in `names`; never what a customer wrote or is called by."""

    def fail(self, error_type: str) -> None:
        """It did not work; `error_type` is one of a few words."""

    def end(self) -> None:
        """It is over."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.fail(kind.__name__)
        self.end()
