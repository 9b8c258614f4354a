"""`POST /v1/responses`: the hot route, in front of FastAPI, whose routing and injection cost three times
as much as everything that happens here. Nothing is answered before Kafka has the record."""

import asyncio
import time
from datetime import UTC, datetime

import orjson
import structlog
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from services.collector.callers import Caller, Callers, must_be_secret, must_come_from
from services.collector.domain import Fault, chosen_id
from services.collector.origins import Origins, allowing
from services.collector.reading import misfit, read
from services.collector.responses.accept import AnswerAcceptor, CheckedAnswer
from services.collector.responses.bodies import ANSWER, AnswerIn
from shared.http import Problem
from shared.http.auth import check_store
from shared.http.bodies import check_json_type
from shared.http.gatekeeper import valid_traceparent
from shared.http.limits import BodyRefused, ClientGone, Limits, linger, read_body
from shared.http.problems import crashed, send_problem, unavailable
from shared.http.protocol import WHOLE_REPLY
from shared.http.whole_reply import WHOLE_REPLY
from shared.kafka import NotAcknowledged
from shared.ops import metrics

# What became of each request, in metrics whose children are bound once.
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


ROUTE = "/v1/responses"

_JSON = (b"content-type", b"application/json")
_ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\ntraceparent: %b\r\n\r\n%b"
)


class _Asked:
    """One request and what is known of it so far, for the answer whatever it will be."""

    __slots__ = ("caller", "channel", "headers", "query", "response_id", "started", "traceparent")

    def __init__(self, scope: Scope) -> None:
        self.started = time.perf_counter()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.query: bytes = scope["query_string"]
        self.traceparent = valid_traceparent(self.headers.get(b"traceparent"))
        self.caller: Caller | None = None
        self.channel = UNKNOWN
        self.response_id: str | None = None


class Intake:
    """One answer in, one record on the topic, one 202 out."""

    def __init__(
        self, *, callers: Callers, origins: Origins, answers: AnswerAcceptor, limits: Limits
    ) -> None:
        self._callers = callers
        self._origins = origins
        self._answers = answers
        self._limits = limits
        self._outcomes = Outcomes(ROUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = _Asked(scope)
        try:
            body = await read_body(scope, receive, self._limits)
            self._limits.enter()
            try:
                authorization = asked.headers.get(b"authorization", b"")
                caller = self._callers.known(authorization) or await self._callers.find(authorization)
                asked.caller = caller
                answer = self._checked(asked, caller, body)
                asked.response_id = answer["response_id"]
                amend_token = await self._answers.accept(answer, asked.traceparent)
                reply = orjson.dumps(
                    {"response_id": asked.response_id, "status": "accepted", "amend_token": amend_token}
                )
            finally:
                self._limits.leave()
        except ClientGone:
            self._outcomes.gone(asked.started)
            return
        except (Exception, asyncio.CancelledError) as error:  # cancelled: the grace of a stop is over
            await self._refuse(asked, error, scope, receive, send)
            return
        at_once = scope.get(WHOLE_REPLY)
        public = asked.caller is not None and asked.caller.public
        if public or not at_once or not at_once(scope, _ACCEPTED % (len(reply), asked.traceparent, reply)):
            headers = [
                _JSON,
                (b"content-length", b"%d" % len(reply)),
                (b"traceparent", asked.traceparent),
                *(allowing(asked.headers[b"origin"]) if public else ()),
            ]
            await send({"type": "http.response.start", "status": 202, "headers": headers})
            await send({"type": "http.response.body", "body": reply})
        self._outcomes.accepted(asked.channel, asked.started)

    def _checked(self, asked: _Asked, caller: Caller, body: bytes) -> CheckedAnswer:
        """The answer of a request that may hand it in. Raises Problem and Fault."""
        if caller.public:
            must_come_from(caller, asked.headers.get(b"origin"))
        else:
            must_be_secret(caller)
        if asked.query:
            check_store(caller.key, QueryParams(asked.query).get("store"))
        if (content_type := asked.headers.get(b"content-type", b"")) != b"application/json":
            check_json_type(content_type.decode("latin-1"))
        sent = read(ANSWER, body)
        asked.channel = sent.get("channel") or "api"
        client_id = None
        if (idempotency_key := asked.headers.get(b"idempotency-key")) is not None:
            client_id = chosen_id(sent.get("response_id"), idempotency_key)
        return self._answers.check(sent, caller, now=datetime.now(UTC), client_id=client_id)

    async def _refuse(
        self,
        asked: _Asked,
        error: Exception | asyncio.CancelledError,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        correlation_id = scope["closeloop.correlation_id"] = asked.traceparent[3:35].decode()
        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            problem = _problem(error, asked, scope)
        store = asked.caller.store if asked.caller else None
        await send_problem(
            problem,
            send,
            headers=[
                (b"traceparent", asked.traceparent),
                *self._origins.headers(asked.headers.get(b"origin"), store),
            ],
            before_end=(lambda: linger(receive)) if isinstance(problem, BodyRefused) else None,
        )
        self._outcomes.refused(asked.channel, problem, asked.started)


def _id_in_the_head(asked: _Asked) -> str | None:
    """The client's own id, for a 503 before its body was read."""
    try:
        return chosen_id(None, asked.headers.get(b"idempotency-key"))
    except Fault:
        return None


def _problem(error: Exception | asyncio.CancelledError, asked: _Asked, scope: Scope) -> Problem:
    match error:
        case Problem():
            if error.status == 503 and (sent := _id_in_the_head(asked)):
                error.extra.setdefault("response_id", sent)
            return error
        case Fault():
            return misfit(error)
        case NotAcknowledged() | asyncio.CancelledError():
            known = {"response_id": asked.response_id} if asked.response_id else {}
            detail = "Kafka did not confirm the answer. Send it again with the same id: it counts once."
            return unavailable(detail, **known)  # type: ignore[arg-type]  # the id only
    return crashed(error, scope)
