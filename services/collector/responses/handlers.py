"""One method for each request beside the hot route: who may, what happened, and wait until Kafka has it."""

import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson

from services.collector.bodies import without_nulls
from services.collector.callers import Caller, Callers, must_be_secret, must_come_from
from services.collector.domain import Fault, check_score, checked_scale, namespaced
from services.collector.publishing import Publisher
from services.collector.responses.bodies import AmendmentIn, VouchIn
from services.collector.tokens import Amendable, AmendTokens, CustomerTokens, Vouched
from shared.events.responses import FollowUp, ResponseAmended, ResponseRetracted
from shared.http import Problem
from shared.http.auth import bearer, check_store

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
        publisher: Publisher,
        amend_tokens: AmendTokens,
        customer_tokens: CustomerTokens,
    ) -> None:
        self._callers = callers
        self._publisher = publisher
        self._amend_tokens = amend_tokens
        self._customer_tokens = customer_tokens

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
        await self._publisher.publish(event, traceparent, response_id=response_id)
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
        await self._publisher.publish(event, traceparent, response_id=response_id)

    def vouch(self, sent: VouchIn, caller: Caller) -> tuple[str, datetime]:
        """A token with which a page shows who its customer is, and when it ends. Raises Fault."""
        who = Vouched(sent.get("id"), sent.get("email"))
        if who.id is None and who.email is None:
            raise Fault("", "needs an id or an email")
        expires_at = datetime.now(UTC).replace(microsecond=0)
        expires_at += timedelta(seconds=sent.get("valid_seconds") or _VOUCH_SECONDS)
        token = self._customer_tokens.issue(caller.store, who, expires_at=int(expires_at.timestamp()))
        return token, expires_at


def amended(
    sent: AmendmentIn,
    *,
    store: str,
    response_id: str,
    key_id: str,
    scale: tuple[str, str | None],
    now: datetime,
) -> ResponseAmended:
    """`scale`: metric and scale id of the answer, to check a new score against. Raises Fault."""
    changed = without_nulls({name: sent.get(name) for name in ("score", "comment", "answers", "complete")})
    if not changed:
        raise Fault("", "needs at least one of score, comment, answers and complete")
    if "score" in changed:
        check_score(checked_scale(*scale), changed["score"])
    if "answers" in changed:
        changed["answers"] = tuple(FollowUp(**answer) for answer in changed["answers"])
    return ResponseAmended(
        store=store,
        response_id=response_id,
        received_at=now,
        key_id=key_id,
        revision=sent.get("revision") or 1,
        **changed,
    )
