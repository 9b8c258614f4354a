"""Limits on how often somebody may ask: token buckets, and a bounded table of them."""

import math
import time
from collections.abc import Callable, Hashable, Mapping

from shared.http.problems import Problem

BURST_SECONDS = 1.0
"""A bucket holds as many requests as the rate gives in this time."""

MOST_BUCKETS = 10_000
_SWEEP_SECONDS = 1.0


class TokenBucket:
    """A rate limit: `rate` requests a second, and as many at once after a pause; 0 is no limit.

    It is kept as one number, the moment at which the bucket is full again. `detail` is what a client reads
    that asks too often.
    """

    __slots__ = ("_capacity_seconds", "_cost", "_detail", "_full_at", "_rate")

    def __init__(
        self, rate: float, detail: str = "This key sends too many requests. Slow down.", *, burst: float = 0
    ) -> None:
        """`burst`: how many requests at once, if not those of a second."""
        self._rate = rate
        self._detail = detail
        self._cost = 1 / rate if rate else 0.0
        # One request at least, and room for what floating-point sums lose.
        capacity = burst * self._cost if burst else BURST_SECONDS
        self._capacity_seconds = max(capacity, self._cost) + 1e-6 if rate else math.inf
        self._full_at = 0.0

    def take(self, now: float) -> None:
        """One request at `now` (seconds of any steady clock). Raises Problem 429."""
        full_at = (self._full_at if self._full_at > now else now) + self._cost
        if full_at - now > self._capacity_seconds:
            raise self._too_many(full_at - now - self._capacity_seconds)
        self._full_at = full_at

    def charge(self, now: float, requests: float) -> None:
        """Count a request that was taken as so many more; a debt is what the next ones wait for."""
        self._full_at = max(self._full_at, now) + requests * self._cost

    def is_full(self, now: float) -> bool:
        """Whether nothing is lost when the bucket is thrown away."""
        return self._full_at <= now

    def _too_many(self, wait: float) -> Problem:
        seconds = str(max(1, math.ceil(wait)))
        headers: Mapping[str, str] = {
            "Retry-After": seconds,
            "RateLimit-Limit": f"{self._rate:g}",
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": seconds,
        }
        return Problem(429, "rate-limited", self._detail, headers=headers)


class Buckets:
    """A bucket for each client; at most `most`, after which newcomers share one.

    Buckets that are full again are forgotten, which changes nothing for their clients.
    """

    def __init__(self, make: Callable[[], TokenBucket], *, most: int = MOST_BUCKETS) -> None:
        self._make = make
        self._most = most
        self._buckets: dict[Hashable, TokenBucket] = {}
        self._of_the_rest = make()
        self._swept_at = -math.inf

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, client: Hashable, now: float | None = None) -> TokenBucket:
        """The bucket of a client. `now`: as for `TokenBucket.take`."""
        bucket = self._buckets.get(client)
        if bucket is not None:
            return bucket
        if len(self._buckets) >= self._most:
            self._sweep(time.monotonic() if now is None else now)
            if len(self._buckets) >= self._most:
                return self._of_the_rest
        bucket = self._buckets[client] = self._make()
        return bucket

    def _sweep(self, now: float) -> None:
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            self._buckets = {
                client: bucket for client, bucket in self._buckets.items() if not bucket.is_full(now)
            }
