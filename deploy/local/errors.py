"""The one exception of the embedded stack: what is wrong, and what a person can do about it."""


class LocalStackError(Exception):
    """An expected failure. `str()` is one sentence; `remedy` says what to do next."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
