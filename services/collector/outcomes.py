"""What became of each request on the hot route, in metrics whose children are bound once."""

import time

from services.collector.bodies import AnswerIn
from shared.http import Problem
from shared.ops import metrics

UNKNOWN = "unknown"

_METHOD = "POST"
_OUTCOMES = {401: "unauthorised", 403: "unauthorised", 404: "unauthorised", 429: "rate_limited"}
_FIELDS = frozenset(AnswerIn.__annotations__)


class Outcomes:
    """`started` is `time.perf_counter()` at the first byte."""

    def __init__(self, route: str) -> None:
        self._route = route
        self._accepted = metrics.HTTP_REQUESTS.labels(_METHOD, route, "202")
        self._duration = metrics.HTTP_DURATION.labels(_METHOD, route, "2xx")
        # There before the first fault: the share of failed requests is a ratio.
        metrics.HTTP_REQUESTS.labels(_METHOD, route, "503")
        for status_class in ("4xx", "5xx"):
            metrics.HTTP_DURATION.labels(_METHOD, route, status_class)
        self._by_channel = {UNKNOWN: metrics.RESPONSES_RECEIVED.labels(UNKNOWN, "accepted")}

    def accepted(self, channel: str, started: float) -> None:
        """`channel` was checked, so that there are only a few."""
        by_channel = self._by_channel.get(channel)
        if by_channel is None:
            by_channel = metrics.RESPONSES_RECEIVED.labels(channel, "accepted")
            self._by_channel[channel] = by_channel
        by_channel.inc()
        self._accepted.inc()
        self._duration.observe(time.perf_counter() - started)

    def refused(self, channel: str, problem: Problem, started: float) -> None:
        outcome = _OUTCOMES.get(problem.status) or ("unavailable" if problem.status >= 500 else "invalid")
        metrics.RESPONSES_RECEIVED.labels(channel, outcome).inc()
        if outcome == "invalid":
            metrics.RESPONSE_REJECTIONS.labels(_reason(problem)).inc()
        self._count(problem.status, started)

    def gone(self, started: float) -> None:
        """The client hung up before its body was here."""
        self._count(499, started)

    def _count(self, status: int, started: float) -> None:
        metrics.HTTP_REQUESTS.labels(_METHOD, self._route, str(status)).inc()
        seconds = time.perf_counter() - started
        metrics.HTTP_DURATION.labels(_METHOD, self._route, f"{status // 100}xx").observe(seconds)


def _reason(problem: Problem) -> str:
    """The kind of problem; for a field that does not fit, the field: `invalid:score`."""
    if not problem.errors:
        return problem.type
    field = problem.errors[0]["pointer"].split("/")[1:2]
    return f"{problem.type}:{field[0] if field and field[0] in _FIELDS else 'other'}"
