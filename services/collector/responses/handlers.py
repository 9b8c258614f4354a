"""Amend and retract an answer, and give out customer tokens: who may, which event, and wait for Kafka."""

import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson

from services.collector.callers import Caller, Callers, Peer, check_may_write, check_origin
from services.collector.domain import InvalidInput, check_score_of_some_scale, namespaced, without_nulls
from services.collector.publishing import Publisher
from services.collector.responses.bodies import AmendmentIn, VouchIn
from services.collector.tokens import AmendableAnswer, AmendTokens, CustomerIdentity, CustomerTokens
from shared.events.responses import FollowUp, ResponseAmended, ResponseRetracted
from shared.http import Problem
from shared.http.auth import bearer, check_store

_BEARER = "bearer "
_CUSTOMER_TOKEN_SECONDS = 86_400
MOST_BYTES_BY_TOKEN = 64 * 1024


class Credentials(NamedTuple):
    """What the headers of an amendment show: a key, or an amend token, or neither (it may be in the body)."""

    caller: Caller | None
    token: str | None
    peer: Peer


class ResponseHandlers:
    """One method for each route of the room but the hot one."""

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

    async def credentials(
        self, authorization: str, store: str | None, *, origin: str | None, peer: Peer
    ) -> Credentials:
        """The credentials of an amendment, checked. Raises Problem."""
        scheme, shown = authorization[: len(_BEARER)], authorization[len(_BEARER) :]
        if scheme.lower() == _BEARER and shown.startswith("amd_"):
            token = shown.strip()
            if self._amend_tokens.read(token, now=time.time()) is None:
                raise _token_not_valid()
            return Credentials(None, token, peer)
        if not authorization:
            return Credentials(None, None, peer)
        caller = await self._callers.find(authorization.encode("latin-1"), peer)
        if caller.public:
            try:
                check_origin(caller, origin.encode("latin-1") if origin else None)
            except Problem as problem:
                self._callers.refused(caller.key_id, peer, public=True, status=problem.status)
                raise
        else:
            check_may_write(caller)
        check_store(caller.key, store)
        return Credentials(caller, None, peer)

    def count_misfit(self, credentials: Credentials, body: bytes, *, status: int) -> None:
        """Count an amendment whose body does not fit and is refused with this status.

        Raises Problem: 401 unless the headers show a key or a token, or the body holds a valid token; 429.
        """
        caller, peer = credentials.caller, credentials.peer
        if caller is not None:
            self._callers.refused(caller.key_id, peer, public=caller.public, status=status)
            return
        try:
            token = credentials.token or orjson.loads(body)["amend_token"]
            answer = self._amend_tokens.read(token, now=time.time())
        except (ValueError, TypeError, KeyError, AttributeError):
            answer = None
        if answer is None:
            raise _token_not_valid()
        public = _from_page(answer.key_id, answer.response_id)
        self._callers.count(answer.key_id, peer, public=public)
        self._callers.refused(answer.key_id, peer, public=public, status=status)

    async def amend(
        self,
        body: AmendmentIn,
        response_id: str,
        credentials: Credentials,
        *,
        store: str | None,
        traceparent: str,
    ) -> ResponseAmended:
        """Emit what changed in an answer, which may still be on its way, and return the event.

        `response_id` and `store` are those of the request. Raises Problem and InvalidInput.
        """
        now = datetime.now(UTC)
        caller, token = credentials.caller, credentials.token or body.get("amend_token")
        store_of_request = store
        if caller is None and token is None:
            bearer("")  # raises the Problem that says how to send a key
        if caller is not None and not caller.public:
            store, key_id = caller.store, caller.key_id
            metric: str | None = body.get("metric")
            scale, fingerprint = body.get("scale"), None
        else:
            answer = self._amendable(token, response_id, credentials)
            if store_of_request is not None and store_of_request != answer.store:
                raise Problem(404, "not-found", "There is no such store for this token.")
            store, key_id, response_id = answer.store, answer.key_id, answer.response_id
            metric, scale, fingerprint = answer.metric, answer.scale, answer.fingerprint
            self._callers.count_amendment(store, response_id)
            for name in ("metric", "scale"):
                if body.get(name) is not None:
                    raise InvalidInput(f"/{name}", "is known from the amend token; leave it out")
        try:
            event = amendment_event(
                body,
                store=store,
                response_id=response_id,
                key_id=key_id,
                metric=metric,
                scale=scale,
                fingerprint=fingerprint,
                now=now,
            )
        except InvalidInput:
            public = _from_page(key_id, response_id)
            self._callers.refused(key_id, credentials.peer, public=public, status=422)
            raise
        if fingerprint is not None and len(event.body()) > MOST_BYTES_BY_TOKEN:
            raise Problem(413, "too-large", "With an amend token a change is at most 64 KiB.")
        await self._publisher.publish(event, traceparent, response_id=response_id)
        return event

    def _amendable(self, token: str | None, response_id: str, credentials: Credentials) -> AmendableAnswer:
        """The answer of an amend token, which must be the one of the request. Raises Problem."""
        caller, peer = credentials.caller, credentials.peer
        if token is None:
            raise Problem(403, "forbidden", "A public key amends with the amend_token of its answer only.")
        answer = self._amend_tokens.read(token, now=time.time())
        if answer is None or not self._callers.has_store(answer.store):
            raise _token_not_valid()
        public = _from_page(answer.key_id, answer.response_id)
        if caller is None:
            self._callers.count(answer.key_id, peer, public=public)
        whole_id = namespaced(answer.key_id, response_id) if public else response_id
        if whole_id != answer.response_id or (caller is not None and caller.store != answer.store):
            self._callers.refused(answer.key_id, peer, public=public, status=403)
            raise Problem(403, "forbidden", "The amend token is for another answer.")
        return answer

    async def retract(self, response_id: str, caller: Caller, *, reason: str, traceparent: str) -> None:
        """Emit that an answer no longer counts. Raises Problem."""
        event = ResponseRetracted(
            store=caller.store,
            response_id=response_id,
            received_at=datetime.now(UTC),
            key_id=caller.key_id,
            reason=reason,
        )
        await self._publisher.publish(event, traceparent, response_id=response_id)

    def customer_token(self, body: VouchIn, caller: Caller) -> tuple[str, datetime]:
        """A token with which a page shows who its customer is, and the time until which it is valid.

        Raises InvalidInput when the body names nobody.
        """
        identity = CustomerIdentity(body.get("id"), body.get("email"))
        if identity.id is None and identity.email is None:
            raise InvalidInput("", "needs an id or an email")
        expires_at = datetime.now(UTC).replace(microsecond=0)
        expires_at += timedelta(seconds=body.get("valid_seconds") or _CUSTOMER_TOKEN_SECONDS)
        token = self._customer_tokens.issue(caller.store, identity, expires_at=int(expires_at.timestamp()))
        return token, expires_at


def amendment_event(
    body: AmendmentIn,
    *,
    store: str,
    response_id: str,
    key_id: str,
    metric: str | None,
    scale: str | None,
    fingerprint: str | None,
    now: datetime,
) -> ResponseAmended:
    """The event of an amendment. Raises InvalidInput.

    `metric` and `scale`: of the answer, as far as they are known here, to check a new score against; where
    the answer is stored, it is checked against the answer itself. `fingerprint`: of the only body that may be
    amended.
    """
    changed = without_nulls({name: body.get(name) for name in ("score", "comment", "answers", "complete")})
    if not changed:
        raise InvalidInput("", "needs at least one of score, comment, answers and complete")
    if "score" in changed:
        check_score_of_some_scale(metric, scale, changed["score"])
    if "answers" in changed:
        changed["answers"] = tuple(FollowUp(**answer) for answer in changed["answers"])
    return ResponseAmended(
        store=store,
        response_id=response_id,
        received_at=now,
        key_id=key_id,
        revision=body.get("revision") or 1,
        fingerprint=fingerprint,
        metric=metric,
        scale=scale,
        **changed,
    )


def _from_page(key_id: str, response_id: str) -> bool:
    """Whether an answer came with a public key: its id is namespaced by the key."""
    return namespaced(key_id, response_id) == response_id


def _token_not_valid() -> Problem:
    headers = {"WWW-Authenticate": 'Bearer realm="closeloop"'}
    return Problem(401, "unauthorised", "The amend token is not valid or has expired.", headers=headers)
