"""The rate limit of a key: a token bucket, kept as one number, the moment at which it is full again."""

import math
from collections.abc import Mapping

from shared.http import Problem

BURST_SECONDS = 1.0
"""A bucket holds as many requests as the rate gives in this time."""


class TokenBucket:
    """At most `rate` requests a second, and as many at once after a pause; 0 is no limit."""

    __slots__ = ("_capacity_seconds", "_cost", "_full_at", "_rate")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._cost = 1 / rate if rate else 0.0
        # One request at least, and room for what floating-point sums lose.
        self._capacity_seconds = max(BURST_SECONDS, self._cost) + 1e-6 if rate else math.inf
        self._full_at = 0.0

    def take(self, now: float) -> None:
        """One request at `now` (seconds of any steady clock). Raises Problem 429."""
        full_at = (self._full_at if self._full_at > now else now) + self._cost
        if full_at - now > self._capacity_seconds:
            raise self._too_many(full_at - now - self._capacity_seconds)
        self._full_at = full_at

    def _too_many(self, wait: float) -> Problem:
        seconds = str(max(1, math.ceil(wait)))
        headers: Mapping[str, str] = {
            "Retry-After": seconds,
            "RateLimit-Limit": f"{self._rate:g}",
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": seconds,
        }
        return Problem(429, "rate-limited", "This key sends too many requests. Slow down.", headers=headers)
