"""Names that come out the same whenever the log is read again."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID


def id_of(at: datetime, *parts: str) -> str:
    """A UUIDv7 of that moment whose random bits are a hash of the parts.

    After a restore the log is applied again: what was told under an id is then told under the same one.
    """
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:10])
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    value = (
        milliseconds << 80 | 0x7 << 76 | (digest >> 62 & 0xFFF) << 64 | 0b10 << 62 | digest & (1 << 62) - 1
    )
    return str(UUID(int=value))
