"""How one attempt to deliver went."""

from dataclasses import dataclass

REPLY_SHOWN = 256


@dataclass(frozen=True, slots=True)
class Attempt:
    """`status` is that of HTTP or SMTP; None: no answer came, `error` says why."""

    status: int | None
    seconds: float
    reply: str = ""
    error: str = ""
    retry_after_seconds: float | None = None
    final: bool = False
    """Trying again cannot help: the receiver is gone, refuses this message, or it cannot be built."""

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def printable(raw: bytes | str) -> str:
    """The start of a receiver's answer, as it may be shown to people."""
    text = raw[: 4 * REPLY_SHOWN].decode(errors="replace") if isinstance(raw, bytes) else raw
    return "".join(c for c in text if c.isprintable())[:REPLY_SHOWN]
