"""How sending fares: when Kafka last acknowledged, and since when it does not."""

import math
import time

from shared.ops.health import NotReady

REBUILD_AFTER_SECONDS = 10.0
_LATELY_SECONDS = 3.0


class Pulse:
    def __init__(self) -> None:
        self._failing_since: float | None = None
        self._failed_at = self._acknowledged_at = -math.inf

    def acknowledged(self) -> None:
        self._failing_since = None
        self._acknowledged_at = time.monotonic()

    def failed(self) -> bool:
        """Whether nothing was acknowledged for 10 s while sends waited; true once, then 10 s later again."""
        self._failed_at = now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > REBUILD_AFTER_SECONDS:
            self._failing_since = now
            return True
        return False

    def proves(self) -> bool:
        """Whether Kafka acknowledged something lately. Raises NotReady when it refused instead."""
        lately = time.monotonic() - _LATELY_SECONDS
        if self._failed_at > max(lately, self._acknowledged_at):
            raise NotReady("Kafka does not acknowledge")
        return self._acknowledged_at > lately
