"""`POST /v1/responses`, the hot route: it reads HTTP, lets the answer in by `accept`, and writes the reply.

It stands in front of FastAPI, whose routing and injection cost three times as much as everything here.
Nothing is answered before Kafka has the record.
"""

import asyncio
import time
from datetime import UTC, datetime

import orjson
import structlog
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from services.collector.callers import Caller, Callers, check_may_write, check_origin
from services.collector.domain import InvalidInput, chosen_id
from services.collector.origins import AllowedOrigins, cors_headers
from services.collector.parsing import parse_body, refused_input
from services.collector.responses.accept import AnswerAcceptor, CheckedAnswer, warnings
from services.collector.responses.bodies import ANSWER, AnswerIn
from shared.events.envelope import valid_traceparent
from shared.http import Problem
from shared.http.auth import check_store
from shared.http.bodies import check_json_type
from shared.http.headers import SAFE
from shared.http.limits import BodyRefused, ClientGone, Limits, linger, read_body
from shared.http.parameters import check_query
from shared.http.problems import crashed, send_problem, unavailable
from shared.http.whole_reply import WHOLE_REPLY
from shared.kafka import NotAcknowledged
from shared.ops import metrics

ROUTE = "/v1/responses"
PARAMETERS = {"store": False}
"""The parameters of the address, as `api.submit` declares them for the documentation."""
UNKNOWN = "unknown"
"""The channel of an answer that could not be read, in metrics."""

_JSON = (b"content-type", b"application/json")
_WHOLE_202 = (
    b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\n"
    b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
    b"content-length: %d\r\ntraceparent: %b\r\n\r\n%b"
)
_METHOD = "POST"
_OUTCOMES = {401: "unauthorised", 403: "unauthorised", 404: "unauthorised", 429: "rate_limited"}
_FIELDS = frozenset(AnswerIn.__annotations__)


class AnswerRequest:
    """One request, with what is known of it so far: its reply needs that, whether it is taken or refused."""

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
    """The ASGI application of the route: each request ends as one record and a 202, or as a problem."""

    def __init__(
        self, *, callers: Callers, origins: AllowedOrigins, answers: AnswerAcceptor, limits: Limits
    ) -> None:
        self._callers = callers
        self._origins = origins
        self._answers = answers
        self._limits = limits
        self._metrics = IntakeMetrics(ROUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = AnswerRequest(scope)
        try:
            body = await read_body(scope, receive, self._limits)
            self._limits.enter()
            try:
                authorization = request.headers.get(b"authorization", b"")
                peer = scope["client"]
                caller = self._callers.remembered(authorization, peer) or await self._callers.find(
                    authorization, peer
                )
                request.caller = caller
                answer = self._checked(request, caller, body)
                request.response_id = answer["response_id"]
                amend_token = await self._answers.accept(answer, request.traceparent)
                accepted = {
                    "response_id": request.response_id,
                    "status": "accepted",
                    "amend_token": amend_token,
                }
                if warned := warnings(answer, caller.config):
                    accepted["warnings"] = warned
                reply = orjson.dumps(accepted)
            finally:
                self._limits.leave()
        except ClientGone:
            self._metrics.hung_up(request.started)
            return
        except (Exception, asyncio.CancelledError) as error:  # cancelled: the grace of a stop is over
            await self._refuse(request, error, scope, receive, send)
            return
        write_whole = scope.get(WHOLE_REPLY)
        public = request.caller is not None and request.caller.public
        if (
            public
            or not write_whole
            or not write_whole(scope, _WHOLE_202 % (len(reply), request.traceparent, reply))
        ):
            headers = [
                _JSON,
                *SAFE,
                (b"content-length", b"%d" % len(reply)),
                (b"traceparent", request.traceparent),
                *(cors_headers(request.headers[b"origin"]) if public else ()),
            ]
            await send({"type": "http.response.start", "status": 202, "headers": headers})
            await send({"type": "http.response.body", "body": reply})
        self._metrics.accepted(request.channel, request.started)

    def _checked(self, request: AnswerRequest, caller: Caller, body: bytes) -> CheckedAnswer:
        """Check the headers and the key of the request, then the answer. Raises Problem and InvalidInput."""
        if caller.public:
            check_origin(caller, request.headers.get(b"origin"))
        else:
            check_may_write(caller)
        if request.query:
            query = QueryParams(request.query)
            check_query(query, PARAMETERS)
            check_store(caller.key, query.get("store"))
        if (content_type := request.headers.get(b"content-type", b"")) != b"application/json":
            check_json_type(content_type.decode("latin-1"))
        answer = parse_body(ANSWER, body)
        request.channel = answer.get("channel") or "api"
        client_id = None
        if (idempotency_key := request.headers.get(b"idempotency-key")) is not None:
            client_id = chosen_id(answer.get("response_id"), idempotency_key)
        return self._answers.check(answer, caller, now=datetime.now(UTC), client_id=client_id)

    async def _refuse(
        self,
        request: AnswerRequest,
        error: Exception | asyncio.CancelledError,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        correlation_id = scope["closeloop.correlation_id"] = request.traceparent[3:35].decode()
        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            problem = problem_for(error, request, scope)
        store = request.caller.store if request.caller else None
        # A body is refused before the key is looked at.
        caller = request.caller or self._callers.known(request.headers.get(b"authorization", b""))
        if caller is not None:
            self._callers.refused(caller.key_id, scope["client"], public=caller.public, status=problem.status)
        await send_problem(
            problem,
            send,
            headers=[
                *SAFE,
                (b"traceparent", request.traceparent),
                *self._origins.headers_for(request.headers.get(b"origin"), store),
            ],
            before_end=(lambda: linger(receive)) if isinstance(problem, BodyRefused) else None,
        )
        self._metrics.refused(request.channel, problem, request.started)


def _id_in_headers(request: AnswerRequest) -> str | None:
    """The client's own id from its `Idempotency-Key`, for a 503 before the body was read."""
    try:
        return chosen_id(None, request.headers.get(b"idempotency-key"))
    except InvalidInput:
        return None


def problem_for(error: Exception | asyncio.CancelledError, request: AnswerRequest, scope: Scope) -> Problem:
    """What a client is told when its answer was not taken; a 503 names the id to try again with."""
    match error:
        case Problem():
            if error.status == 503 and (client_id := _id_in_headers(request)):
                error.extra.setdefault("response_id", client_id)
            return error
        case InvalidInput():
            return refused_input(error)
        case NotAcknowledged() | asyncio.CancelledError():
            ids = {"response_id": request.response_id} if request.response_id else {}
            detail = "Kafka did not confirm the answer. Send it again with the same id: it counts once."
            return unavailable(detail, **ids)  # type: ignore[arg-type]  # the id only
    return crashed(error, scope)


class IntakeMetrics:
    """Counts the requests of the hot route by what became of them; the children of metrics are bound once.

    `started` is `time.perf_counter()` when the request began; `channel` was checked, so that there are few.
    """

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
        """Count an answer that was answered with 202."""
        by_channel = self._by_channel.get(channel)
        if by_channel is None:
            by_channel = metrics.RESPONSES_RECEIVED.labels(channel, "accepted")
            self._by_channel[channel] = by_channel
        by_channel.inc()
        self._accepted.inc()
        self._duration.observe(time.perf_counter() - started)

    def refused(self, channel: str, problem: Problem, started: float) -> None:
        """Count an answer that was answered with a problem."""
        outcome = _OUTCOMES.get(problem.status) or ("unavailable" if problem.status >= 500 else "invalid")
        metrics.RESPONSES_RECEIVED.labels(channel, outcome).inc()
        if outcome == "invalid":
            metrics.RESPONSE_REJECTIONS.labels(_reason(problem)).inc()
        self._count(problem.status, started)

    def hung_up(self, started: float) -> None:
        """Count a client that hung up before its whole body had arrived."""
        self._count(499, started)

    def _count(self, status: int, started: float) -> None:
        metrics.HTTP_REQUESTS.labels(_METHOD, self._route, str(status)).inc()
        seconds = time.perf_counter() - started
        metrics.HTTP_DURATION.labels(_METHOD, self._route, f"{status // 100}xx").observe(seconds)


def _reason(problem: Problem) -> str:
    """The type of a problem, and for a field that does not fit also its name: `invalid:score`."""
    if not problem.errors:
        return problem.type
    field = problem.errors[0]["pointer"].split("/")[1:2]
    return f"{problem.type}:{field[0] if field and field[0] in _FIELDS else 'other'}"
