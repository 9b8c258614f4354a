"""The operator's command `closeloop`. `main.COMMANDS` is its table of contents."""


class CommandError(Exception):
    """An expected failure: one sentence, and in `remedy` what to do. No traceback, exit code 1."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
