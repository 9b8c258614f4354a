"""One method for each request beside the hot route: who may, what happened, and wait until Kafka has it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
from uuid_utils import uuid7

from services.collector.callers import Caller, Callers, must_be_admin, must_be_secret, must_come_from
from services.collector.domain import Fault, chosen_id, namespaced
from services.collector.responses.accept import Facts, amended
from services.collector.responses.bodies import AmendmentIn, EngagementIn, ErasureIn, VouchIn
from services.collector.tokens import Amendable, AmendTokens, CustomerTokens, Vouched
from shared.events import Event, encode
from shared.events.erasures import CustomerErased
from shared.events.responses import ResponseAmended, ResponseRetracted
from shared.http import Problem
from shared.http.auth import bearer, check_store
from shared.http.problems import unavailable
from shared.kafka import NotAcknowledged, Producer
from shared.ops import metrics

SOURCE = "/collector"

_BEARER = "bearer "
_VOUCH_SECONDS = 86_400


class Amender(NamedTuple):
    """What the head of an amendment shows: a key, or an amend token, or nothing yet."""

    caller: Caller | None
    token: str | None


def _no_token() -> Problem:
    headers = {"WWW-Authenticate": 'Bearer realm="closeloop"'}
    return Problem(401, "unauthorised", "The amend token is not valid or has expired.", headers=headers)


class Handlers:
    def __init__(
        self,
        *,
        callers: Callers,
        facts: Facts,
        producer: Producer,
        amend_tokens: AmendTokens,
        customer_tokens: CustomerTokens,
    ) -> None:
        self._callers = callers
        self._facts = facts
        self._producer = producer
        self._amend_tokens = amend_tokens
        self._customer_tokens = customer_tokens

    async def server(self, authorization: str, store: str | None) -> Caller:
        """The caller, which holds a secret key that may write. Raises Problem."""
        caller = await self._callers.find(authorization.encode("latin-1"))
        must_be_secret(caller)
        check_store(caller.key, store)
        return caller

    async def amender(self, authorization: str, store: str | None, *, origin: str | None) -> Amender:
        """Who wants to amend, as far as the head says. Raises Problem."""
        if authorization[: len(_BEARER)].lower() == _BEARER and authorization[len(_BEARER) :].startswith(
            "amd_"
        ):
            token = authorization[len(_BEARER) :].strip()
            if self._amend_tokens.read(token, now=time.time()) is None:
                raise _no_token()
            return Amender(None, token)
        if not authorization:
            return Amender(None, None)
        caller = await self._callers.find(authorization.encode("latin-1"))
        if caller.public:
            must_come_from(caller, origin.encode("latin-1") if origin else None)
        else:
            must_be_secret(caller)
        check_store(caller.key, store)
        return Amender(caller, None)

    def check_shown(self, who: Amender, body: bytes) -> None:
        """Raises Problem 401 unless a key, or a token in the head or in the body, was shown."""
        if who.caller is not None or who.token is not None:
            return
        try:
            token = orjson.loads(body)["amend_token"]
            known = self._amend_tokens.read(token, now=time.time())
        except (ValueError, TypeError, KeyError, AttributeError):
            known = None
        if known is None:
            raise _no_token()

    async def amend(
        self, sent: AmendmentIn, response_id: str, who: Amender, *, store: str | None, traceparent: str
    ) -> ResponseAmended:
        """Emit what changed. The answer itself may still be on its way. Raises Problem and Fault."""
        now = datetime.now(UTC)
        caller, token = who.caller, who.token or sent.get("amend_token")
        wanted = store
        if caller is None and token is None:
            bearer("")  # says how to send a key
        if caller is not None and not caller.public:
            store, key_id = caller.store, caller.key_id
            scale: tuple[str, str | None] = (sent.get("metric") or "nps", sent.get("scale"))
        else:
            answer = self._amendable(token, response_id, caller)
            if wanted is not None and wanted != answer.store:
                raise Problem(404, "not-found", "There is no such store for this token.")
            store, key_id, response_id = answer.store, answer.key_id, answer.response_id
            scale = (answer.metric, answer.scale)
            for name in ("metric", "scale"):
                if sent.get(name) is not None:
                    raise Fault(f"/{name}", "is known from the amend token; leave it out")
        event = amended(sent, store=store, response_id=response_id, key_id=key_id, scale=scale, now=now)
        await self._publish(event, traceparent, response_id=response_id)
        return event

    def _amendable(self, token: str | None, response_id: str, caller: Caller | None) -> Amendable:
        if token is None:
            raise Problem(403, "forbidden", "A public key amends with the amend_token of its answer only.")
        answer = self._amend_tokens.read(token, now=time.time())
        if answer is None or self._callers.config(answer.store) is None:
            raise _no_token()
        own = namespaced(answer.key_id, answer.response_id) == answer.response_id
        named = namespaced(answer.key_id, response_id) if own else response_id
        if named != answer.response_id or (caller is not None and caller.store != answer.store):
            raise Problem(403, "forbidden", "The amend token is for another answer.")
        self._callers.bucket(answer.key_id, public=own).take(time.monotonic())
        return answer

    async def retract(self, response_id: str, caller: Caller, *, reason: str, traceparent: str) -> None:
        event = ResponseRetracted(
            store=caller.store,
            response_id=response_id,
            received_at=datetime.now(UTC),
            key_id=caller.key_id,
            reason=reason,
        )
        await self._publish(event, traceparent, response_id=response_id)

    async def order(self, sent: dict[str, Any], caller: Caller, *, traceparent: str) -> str:
        """Emit an order's event, and return its id."""
        event = self._facts.ordered(sent, caller, now=datetime.now(UTC))
        await self._publish(event, traceparent, order_id=event.order_id)
        return event.order_id

    async def engage(
        self, sent: EngagementIn, caller: Caller, *, idempotency_key: str | None, traceparent: str
    ) -> str:
        """Emit an engagement, and return its id."""
        header = idempotency_key.encode("latin-1") if idempotency_key is not None else None
        engagement_id = chosen_id(sent.get("id"), header, "/id") or str(uuid7())
        event = self._facts.engaged(sent, caller, engagement_id=engagement_id, now=datetime.now(UTC))
        await self._publish(event, traceparent, engagement_id=engagement_id)
        return engagement_id

    async def admin(self, authorization: str, store: str | None) -> Caller:
        """The caller, which holds a secret key for what cannot be undone. Raises Problem."""
        caller = await self._callers.find(authorization.encode("latin-1"))
        must_be_admin(caller)
        check_store(caller.key, store)
        return caller

    async def erase(self, sent: ErasureIn, caller: Caller, *, traceparent: str) -> CustomerErased:
        """Emit that a person asked to be forgotten. Raises Problem and Fault."""
        event = self._facts.erased(sent, caller, erasure_id=str(uuid7()), now=datetime.now(UTC))
        try:
            await self._publish(event, traceparent, erasure_id=event.erasure_id)
        except Problem:
            metrics.ERASURE_REQUESTS.labels("unavailable").inc()
            raise
        metrics.ERASURE_REQUESTS.labels("accepted").inc()
        return event

    def vouch(self, sent: VouchIn, caller: Caller) -> tuple[str, datetime]:
        """A token with which a page shows who its customer is, and when it ends. Raises Fault."""
        who = Vouched(sent.get("id"), sent.get("email"))
        if who.id is None and who.email is None:
            raise Fault("", "needs an id or an email")
        expires_at = datetime.now(UTC).replace(microsecond=0)
        expires_at += timedelta(seconds=sent.get("valid_seconds") or _VOUCH_SECONDS)
        token = self._customer_tokens.issue(caller.store, who, expires_at=int(expires_at.timestamp()))
        return token, expires_at

    async def _publish(self, event: Event, traceparent: str, **ids: Any) -> None:
        key, value, headers = encode(event, source=SOURCE, traceparent=traceparent)
        try:
            await self._producer.send(event.topic.name, key, value, headers)
        except NotAcknowledged:
            detail = "Kafka did not confirm the record. Send it again with the same id: it counts once."
            raise unavailable(detail, **ids) from None
